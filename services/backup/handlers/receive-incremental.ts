import { FrameCodec } from '../../../clients/format/frames.ts';
import type {
  Frame,
  UploadBackupRequest,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { invalidArgument } from '../../common/errors.ts';
import {
  type FileFrame,
  type IncrementalDeclaration,
  IncrementalUpload,
  type PageRun,
} from '../domain/upload/incremental-upload.ts';
import type { UploadContext, UploadOutcome } from '../domain/upload/upload-context.ts';
import { parseCount } from './requests.ts';
import { type Answer, progressOf } from './upload-answers.ts';

/** Receives the rest of an incremental upload, tells of packs as they become durable, and commits it. */
export async function* receiveIncremental(
  parts: AsyncIterator<UploadBackupRequest>,
  declared: IncrementalDeclaration,
  context: UploadContext,
): AsyncGenerator<Answer, UploadOutcome> {
  await using upload = await IncrementalUpload.begin(declared, context);
  try {
    yield* converse(upload, parts);
  } finally {
    // The next part may still be waited for. Who waits for this in turn may do so for ever.
    void parts.return?.();
  }
  return await upload.finish();
}

/** Answers part after part, and tells of packs that become durable while none comes. */
async function* converse(
  upload: IncrementalUpload,
  parts: AsyncIterator<UploadBackupRequest>,
): AsyncGenerator<Answer, void> {
  let reportedBytes = 0;
  let coming = parts.next();
  for (;;) {
    // What goes wrong elsewhere meanwhile ends the call first.
    coming.catch(() => {});
    const part = await Promise.race([coming, upload.news()]);
    if (part?.done) return;
    const answer = part && (await take(upload, part.value));
    if (part) coming = parts.next();
    if (answer) yield answer;
    if (upload.storedBytes === reportedBytes) continue;
    reportedBytes = upload.storedBytes;
    yield progressOf(upload);
  }
}

async function take(
  upload: IncrementalUpload,
  { part }: UploadBackupRequest,
): Promise<Answer | undefined> {
  switch (part.case) {
    case 'extentDigests': {
      const { firstExtent, digests } = part.value;
      const first = parseNumber('extent_digests.first_extent', firstExtent);
      const offsets = await upload.takeExtents(first, digests);
      return { case: 'neededExtents', value: { firstExtent, offsets } };
    }
    case 'pageDigests': {
      const { extents } = part.value;
      const [first] = extents;
      if (first === undefined) {
        throw invalidArgument('INVALID_FIELD', 'page_digests.extents', 'must not be empty');
      }
      const field = 'page_digests.extents.extent';
      const runs = await upload.takePageDigests(
        extents.map(({ extent, digests }) => ({ extent: parseNumber(field, extent), digests })),
      );
      const value = { firstExtent: first.extent, runs: runs.map(toRun) };
      return { case: 'neededPages', value };
    }
    case 'frame':
      await upload.takeFrame(parseFrame(part.value, upload.sealed));
      return undefined;
    case 'seal':
      upload.takeSeal(part.value);
      return undefined;
    default: {
      const field = part.case ?? 'part';
      throw invalidArgument('OUT_OF_ORDER', field, 'may not come in an incremental upload');
    }
  }
}

function parseFrame(frame: Frame, sealed: boolean): FileFrame {
  const { pages, codec, data, positions, unpackedBytes } = frame;
  if (sealed ? codec !== FrameCodec.sealed : !isReadable(codec)) {
    const allowed = sealed ? 'sealed, as was declared' : 'raw or zstd';
    throw invalidArgument('INVALID_FIELD', 'frame.codec', `must be ${allowed}`);
  }
  if (positions.length > 0 || unpackedBytes > 0) {
    throw invalidArgument('INVALID_FIELD', 'frame', 'has fields that are those of a download');
  }
  const numbers = pages.map((page) => parseNumber('frame.pages', page));
  return { pages: numbers, codec: codec as FrameCodec, data };
}

function isReadable(codec: number): boolean {
  return codec === FrameCodec.raw || codec === FrameCodec.zstd;
}

function parseNumber(field: string, number: bigint): number {
  return parseCount(field, number, Number.MAX_SAFE_INTEGER);
}

function toRun({ firstPage, count }: PageRun): { firstPage: bigint; count: number } {
  return { firstPage: BigInt(firstPage), count };
}
