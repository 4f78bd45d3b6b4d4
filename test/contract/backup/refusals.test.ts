import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { extentDigest, pageDigests } from '../../../clients/format/digests.ts';
import { FrameCodec } from '../../../clients/format/frames.ts';
import type { UploadBackupRequest } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { ServiceError } from '../../../services/common/errors.ts';
import { requestOf, uploadChanges, wholeDialogue } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { FaultyStore } from './faulty-store.ts';
import { download, list, madeDatabase, send, upload } from './transfers.ts';

/** 7 extents, the last of them shorter, in 2 frames. */
const file = madeDatabase(100);

/** What goes wrong in a dialogue, how it is refused, and the field that the error names. */
type Refusal = [
  what: string,
  change: (requests: UploadBackupRequest[]) => UploadBackupRequest[],
  reason: string,
  field: string,
];

const [START, EXTENTS, PAGES, FRAME, LAST] = [0, 1, 2, 3, 4] as const;

/** Changes the part of one request in place. */
function changing<Case extends NonNullable<UploadBackupRequest['part']['case']>>(
  at: number,
  kind: Case,
  change: (value: Extract<UploadBackupRequest['part'], { case: Case }>['value']) => void,
): Refusal[1] {
  return (requests) => {
    const { part } = requests[at]!;
    if (part.case !== kind) throw new Error(`no ${kind}`);
    change(part.value as never);
    return requests;
  };
}

/** Takes some of the requests, in another order. */
const only =
  (...order: number[]): Refusal[1] =>
  (requests) =>
    order.map((at) => requests[at]!);

const append =
  (request: UploadBackupRequest): Refusal[1] =>
  (requests) => [...requests, request];

const refusals: Refusal[] = [
  ['data', append(requestOf({ case: 'data', value: file })), 'OUT_OF_ORDER', 'data'],
  ['a second start', only(START, START), 'OUT_OF_ORDER', 'start'],
  ['nothing said', append(requestOf({ case: undefined })), 'OUT_OF_ORDER', 'part'],
  [
    'another first extent',
    changing(EXTENTS, 'extentDigests', (value) => {
      value.firstExtent = 1n;
    }),
    'OUT_OF_ORDER',
    'extent_digests.first_extent',
  ],
  [
    'an extent beyond all numbers',
    changing(EXTENTS, 'extentDigests', (value) => {
      value.firstExtent = 1n << 60n;
    }),
    'INVALID_FIELD',
    'extent_digests.first_extent',
  ],
  [
    'too few extents',
    changing(EXTENTS, 'extentDigests', (value) => {
      value.digests = value.digests.subarray(16);
    }),
    'INVALID_FIELD',
    'extent_digests.digests',
  ],
  [
    'extents behind the last',
    only(START, EXTENTS, PAGES, FRAME, LAST, EXTENTS),
    'OUT_OF_ORDER',
    'extent_digests.first_extent',
  ],
  ['pages before extents', only(START, PAGES), 'OUT_OF_ORDER', 'page_digests.extents'],
  ['pages twice', only(START, EXTENTS, PAGES, PAGES), 'OUT_OF_ORDER', 'page_digests.extents'],
  [
    'no pages',
    changing(PAGES, 'pageDigests', (value) => {
      value.extents = [];
    }),
    'INVALID_FIELD',
    'page_digests.extents',
  ],
  [
    'a skipped extent',
    changing(PAGES, 'pageDigests', (value) => {
      value.extents.splice(2, 1);
    }),
    'OUT_OF_ORDER',
    'page_digests.extents',
  ],
  [
    'too few pages',
    changing(PAGES, 'pageDigests', ({ extents }) => {
      extents[1]!.digests = extents[1]!.digests.subarray(16);
    }),
    'INVALID_FIELD',
    'page_digests.extents.digests',
  ],
  [
    'other pages than their extent',
    changing(PAGES, 'pageDigests', ({ extents }) => {
      extents[1]!.digests = extents[2]!.digests;
    }),
    'DIGEST_MISMATCH',
    'page_digests.extents.digests',
  ],
  ['a frame before pages', only(START, EXTENTS, FRAME), 'OUT_OF_ORDER', 'frame.pages'],
  ['a frame too early', only(START, EXTENTS, PAGES, LAST), 'OUT_OF_ORDER', 'frame.pages'],
  ['a frame twice', only(START, EXTENTS, PAGES, FRAME, FRAME), 'OUT_OF_ORDER', 'frame.pages'],
  [
    'a frame after all',
    only(START, EXTENTS, PAGES, FRAME, LAST, LAST),
    'OUT_OF_ORDER',
    'frame.pages',
  ],
  [
    'pages the other way round',
    changing(FRAME, 'frame', (frame) => {
      frame.pages.reverse();
    }),
    'OUT_OF_ORDER',
    'frame.pages',
  ],
  [
    'a frame of no pages',
    changing(FRAME, 'frame', (frame) => {
      frame.pages = [];
    }),
    'INVALID_FIELD',
    'frame.pages',
  ],
  [
    'a frame of too many pages',
    changing(FRAME, 'frame', (frame) => {
      frame.pages.push(64n);
    }),
    'INVALID_FIELD',
    'frame.pages',
  ],
  [
    'a page beyond all numbers',
    changing(FRAME, 'frame', (frame) => {
      frame.pages[0] = 1n << 60n;
    }),
    'INVALID_FIELD',
    'frame.pages',
  ],
  [
    'a frame longer than its pages',
    changing(FRAME, 'frame', (frame) => {
      frame.data = Buffer.concat([frame.data, Buffer.of(0)]);
    }),
    'INVALID_FIELD',
    'frame.data',
  ],
  [
    'a frame shorter than its pages',
    changing(FRAME, 'frame', (frame) => {
      frame.data = frame.data.subarray(1);
    }),
    'DIGEST_MISMATCH',
    'frame.data',
  ],
  [
    'other bytes',
    changing(LAST, 'frame', (frame) => {
      frame.data = Buffer.alloc(frame.data.length);
    }),
    'DIGEST_MISMATCH',
    'frame',
  ],
  [
    'what is no zstd',
    changing(FRAME, 'frame', (frame) => {
      frame.codec = FrameCodec.zstd;
    }),
    'DIGEST_MISMATCH',
    'frame.data',
  ],
  [
    'an unknown codec',
    changing(FRAME, 'frame', (frame) => {
      frame.codec = 0;
    }),
    'INVALID_FIELD',
    'frame.codec',
  ],
  [
    'a frame with positions',
    changing(FRAME, 'frame', (frame) => {
      frame.positions = [1];
    }),
    'INVALID_FIELD',
    'frame',
  ],
  ['nothing at all', only(START), 'SIZE_MISMATCH', 'start.size_bytes'],
  ['no frames', only(START, EXTENTS, PAGES), 'SIZE_MISMATCH', 'start.size_bytes'],
  [
    'all but the last frame',
    only(START, EXTENTS, PAGES, FRAME),
    'SIZE_MISMATCH',
    'start.size_bytes',
  ],
  [
    'a SHA-256',
    changing(START, 'start', (start) => {
      start.sha256 = Buffer.alloc(32);
    }),
    'INVALID_FIELD',
    'start.sha256',
  ],
  [
    'pages of no size',
    changing(START, 'start', (start) => {
      start.pageSizeBytes = 5_000;
    }),
    'INVALID_FIELD',
    'start.page_size_bytes',
  ],
  [
    'opaque pages of another size',
    changing(START, 'start', (start) => {
      start.opaque = true;
      start.pageSizeBytes = 8_192;
    }),
    'INVALID_FIELD',
    'start.page_size_bytes',
  ],
];

describe.each(engines)('incremental uploads: %s', (_name, open) => {
  let store: FaultyStore;

  beforeEach(async () => {
    store = new FaultyStore(await opened(open));
  });

  async function isRefused(requests: UploadBackupRequest[], reason: string, field: string) {
    const fields = [{ field, description: expect.any(String) }];
    await expect(send(store, requests)).rejects.toMatchObject({ reason, fields });
    expect(store.requestsInFlight).toBe(0);
    expect((await list(store)).backups).toEqual([]);
  }

  it('are taken as the proto tells', async () => {
    await send(store, wholeDialogue(file));
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it.each(refusals)('are refused with %s', async (_what, change, reason, field) => {
    await isRefused(change(wholeDialogue(file)), reason, field);
  });

  it('are refused a third segment before the first is done', async () => {
    const [start] = wholeDialogue(file, { sizeBytes: 256n << 20n });
    const segments = [0n, 1024n, 2048n].map((firstExtent) =>
      requestOf({ case: 'extentDigests', value: { firstExtent, digests: Buffer.alloc(16_384) } }),
    );
    await isRefused([start!, ...segments], 'OUT_OF_ORDER', 'extent_digests');
  });

  it('are refused where the file is no database', async () => {
    const other = Buffer.from(file);
    other.write('SQLite format 4');
    await isRefused(wholeDialogue(other), 'NOT_A_DATABASE', 'frame');
    await isRefused(wholeDialogue(file.subarray(0, 90)), 'NOT_A_DATABASE', 'frame');
    await isRefused(wholeDialogue(file.subarray(0, -1)), 'NOT_A_DATABASE', 'frame');
    const field = 'start.page_size_bytes';
    await isRefused(wholeDialogue(file, { pageSizeBytes: 8_192 }), 'INVALID_FIELD', field);
  });

  it('are refused where all pages are known, but the file is no database', async () => {
    const other = Buffer.from(file);
    other.write('SQLite format 4');
    await upload(store, other, { opaque: true });
    const known = uploadChanges(store, other);
    await expect(known).rejects.toMatchObject({ reason: 'NOT_A_DATABASE' });
    expect((await uploadChanges(store, other, { opaque: true })).unchanged).toBe(true);
    expect((await list(store)).backups).toHaveLength(2);
  });

  it('ask for the first page where the stored one can not be read', async () => {
    await upload(store, file);
    store.onGet = (key, bytes) => {
      // The first frame: a zstd frame, or its end.
      if (!key.includes('/packs/') || bytes.readUInt32LE() !== 0xfd2fb528) return bytes;
      return Buffer.alloc(bytes.length);
    };
    const { asked, unchanged } = await uploadChanges(store, file);
    expect({ asked, unchanged }).toEqual({ asked: [0], unchanged: false });
    store.onGet = (_key, bytes) => bytes;
    expect((await download(store)).file.equals(file)).toBe(true);
  });

  it('never make a backup of what was not sent, whatever comes in whatever order', {
    timeout: 120_000,
  }, async () => {
    const small = madeDatabase(40);
    let users = 0;
    const step = fc.record({
      kind: fc.constantFrom('drop', 'double', 'swap', 'spoil'),
      at: fc.nat(),
    });
    const property = fc.asyncProperty(fc.array(step, { maxLength: 4 }), async (steps) => {
      users += 1;
      const user = `user ${users}`;
      const requests = inSmallParts(small, user);
      for (const { kind, at } of steps) mutate(requests, kind, at);
      try {
        await send(store, requests);
      } catch (error) {
        expect(error).toBeInstanceOf(ServiceError);
        expect((await list(store, { user })).backups).toEqual([]);
        return;
      }
      expect((await download(store, { user })).file.equals(small)).toBe(true);
    });
    await fc.assert(property, { numRuns: 150 });
    expect(store.requestsInFlight).toBe(0);
  });
});

/** A dialogue in which each extent is described alone, and each page sent alone. */
function inSmallParts(bytes: Buffer, user: string): UploadBackupRequest[] {
  const [start, extents] = wholeDialogue(bytes, { user });
  const requests = [start!, extents!];
  for (let at = 0; at < bytes.length; at += 65_536) {
    const extent = bytes.subarray(at, at + 65_536);
    const value = {
      extents: [{ extent: BigInt(at / 65_536), digests: pageDigests(extent, 4096) }],
    };
    requests.push(requestOf({ case: 'pageDigests', value }));
    for (let page = at; page < at + extent.length; page += 4096) {
      const data = bytes.subarray(page, page + 4096);
      const frame = { pages: [BigInt(page / 4096)], codec: FrameCodec.raw, data };
      requests.push(requestOf({ case: 'frame', value: frame }));
    }
  }
  return requests;
}

function mutate(requests: UploadBackupRequest[], kind: string, seed: number): void {
  const at = seed % requests.length;
  const request = requests[at];
  if (request === undefined) return;
  if (kind === 'drop') requests.splice(at, 1);
  if (kind === 'double') requests.splice(at, 0, request);
  if (kind === 'swap') requests.push(...requests.splice(at, 1));
  if (kind !== 'spoil') return;
  const { part } = request;
  const digests = Buffer.from(extentDigest(Buffer.of(seed % 256)));
  if (part.case === 'frame') part.value.data = Buffer.alloc(part.value.data.length, seed);
  if (part.case === 'pageDigests') part.value.extents[0]!.digests = digests;
  if (part.case === 'extentDigests') part.value.digests.set(digests, 0);
}
