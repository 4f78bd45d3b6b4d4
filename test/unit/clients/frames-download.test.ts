import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { type DownloadAnswer, unpackFrames } from '../../../clients/backup/frames-download.ts';
import { FramePacker } from '../../../clients/format/frames.ts';
import { WINDOW_BYTES } from '../../../clients/format/units.ts';
import { BackupSchema, FrameSchema } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';

const pageBytes = 65_536;
const windowPages = WINDOW_BYTES / pageBytes;
const file = Buffer.alloc(2 * WINDOW_BYTES, 'some row of some table, ');

const backup = (): DownloadAnswer => {
  const value = create(BackupSchema, { sizeBytes: BigInt(file.length), pageSizeBytes: pageBytes });
  return { part: { case: 'backup', value } };
};

async function frame(page: number, damage: object = {}): Promise<DownloadAnswer> {
  using packer = new FramePacker();
  const bytes = file.subarray(page * pageBytes, (page + 1) * pageBytes);
  const packed = await packer.pack(bytes);
  const fields = { pages: [BigInt(page)], unpackedBytes: bytes.length, ...packed, ...damage };
  return { part: { case: 'frame', value: create(FrameSchema, fields) } };
}

/** The bytes that come out, and the error that the reader then gets. */
async function read(answers: AsyncIterable<DownloadAnswer>) {
  const bytes: Uint8Array[] = [];
  try {
    for await (const { part } of unpackFrames(answers, 0)) {
      if (part.case === 'data') bytes.push(part.value);
    }
    return { bytes: Buffer.concat(bytes) };
  } catch (error) {
    return { bytes: Buffer.concat(bytes), error };
  }
}

async function* firstWindow() {
  yield backup();
  for (let page = 0; page < windowPages; page++) yield await frame(page);
}

describe('unpackFrames', () => {
  it('gives the window that is whole when the stream breaks in the next', async () => {
    const cut = new Error('cut');
    const { bytes, error } = await read(
      (async function* () {
        yield* firstWindow();
        yield await frame(windowPages);
        throw cut;
      })(),
    );
    expect(bytes.equals(file.subarray(0, WINDOW_BYTES))).toBe(true);
    expect(error).toBe(cut);
  });

  it('fails for a damaged frame, and gives nothing of its window', async () => {
    const { bytes, error } = await read(
      (async function* () {
        yield* firstWindow();
        yield await frame(windowPages, { data: Buffer.from('no zstd') });
        // The frame fails long before its window is whole.
        for (let page = 1; page < windowPages; page++) yield await frame(windowPages + page);
      })(),
    );
    expect(bytes.equals(file.subarray(0, WINDOW_BYTES))).toBe(true);
    expect(error).toMatchObject({ code: 15, reason: 'DIGEST_MISMATCH' });
  });

  it.each([
    ['of no bytes', { unpackedBytes: 0 }],
    ['larger than frames are', { unpackedBytes: 262_145 }],
    ['with a position outside of it', { positions: [1] }],
    ['with positions for other pages', { positions: [0, 0] }],
    ['with fewer bytes than pages', { pages: [0n, 1n] }],
  ])('refuses a frame %s', async (_, damage) => {
    const { error } = await read(
      (async function* () {
        yield backup();
        yield await frame(0, damage);
      })(),
    );
    expect(error).toMatchObject({ code: 13 });
  });
});
