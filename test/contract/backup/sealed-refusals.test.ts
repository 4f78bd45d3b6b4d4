import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Frame,
  FrameCodec,
  type UploadBackupRequest,
  type UploadStart,
} from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { requestOf, wholeDialogue } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { download, list, madeDatabase, send } from './transfers.ts';

const file = madeDatabase(100);
const scrypt = { salt: Buffer.alloc(16), log2N: 17, r: 8, p: 1 };
const [FIRST_FRAME, SEAL] = [3, 5] as const;

/** A sealed dialogue in two frames, of which the service can't tell that they are none. */
function dialogue(): UploadBackupRequest[] {
  const key = { id: Buffer.alloc(16, 1), scrypt };
  const requests = wholeDialogue(file, { key });
  for (const { part } of requests) {
    if (part.case === 'frame') part.value.codec = FrameCodec.SEALED;
  }
  return [...requests, requestOf({ case: 'seal', value: Buffer.alloc(32, 2) })];
}

type Refusal = [
  what: string,
  change: (requests: UploadBackupRequest[]) => void,
  reason: string,
  field: string,
];

const inStart =
  (change: (start: UploadStart) => void): Refusal[1] =>
  ([first]) => {
    if (first?.part.case === 'start') change(first.part.value);
  };

const inFrame =
  (change: (frame: Frame) => void): Refusal[1] =>
  (requests) => {
    const { part } = requests[FIRST_FRAME]!;
    if (part.case === 'frame') change(part.value);
  };

const inScrypt = (parameter: 'log2N' | 'r' | 'p', value: number): Refusal[1] =>
  inStart(({ key }) => {
    key!.scrypt![parameter] = value;
  });

const saltOf = (bytes: number): Refusal[1] =>
  inStart(({ key }) => {
    key!.scrypt!.salt = Buffer.alloc(bytes);
  });

const keyOf = (bytes: number): Refusal[1] =>
  inStart(({ key }) => {
    key!.id = Buffer.alloc(bytes);
  });

const refusals: Refusal[] = [
  ['no seal', (requests) => void requests.pop(), 'MISSING_FIELD', 'seal'],
  ['a seal twice', (requests) => void requests.push(requests[SEAL]!), 'OUT_OF_ORDER', 'seal'],
  [
    'a seal before the last frame',
    (requests) => void requests.splice(SEAL - 1, 0, requests[SEAL]!),
    'OUT_OF_ORDER',
    'seal',
  ],
  [
    'a short seal',
    (requests) => {
      requests[SEAL] = requestOf({ case: 'seal', value: Buffer.alloc(31) });
    },
    'INVALID_FIELD',
    'seal',
  ],
  [
    'a frame that is not sealed',
    inFrame((frame) => {
      frame.codec = FrameCodec.RAW;
    }),
    'INVALID_FIELD',
    'frame.codec',
  ],
  [
    'a frame that is much longer than its pages',
    inFrame((frame) => {
      frame.data = Buffer.alloc(262_144 + 513);
    }),
    'INVALID_FIELD',
    'frame.data',
  ],
  [
    'a sealed frame where no key was named',
    inStart((start) => {
      delete start.key;
    }),
    'INVALID_FIELD',
    'frame.codec',
  ],
  [
    'a key in a plain upload',
    inStart((start) => {
      start.mode = 1;
      start.pageSizeBytes = 0;
    }),
    'INVALID_FIELD',
    'start.key',
  ],
  ['no id of the key', keyOf(0), 'MISSING_FIELD', 'start.key.id'],
  ['a short id of the key', keyOf(15), 'INVALID_FIELD', 'start.key.id'],
  ['a long id of the key', keyOf(17), 'INVALID_FIELD', 'start.key.id'],
  ['no salt', saltOf(0), 'MISSING_FIELD', 'start.key.scrypt.salt'],
  ['a short salt', saltOf(15), 'INVALID_FIELD', 'start.key.scrypt.salt'],
  ['a long salt', saltOf(65), 'INVALID_FIELD', 'start.key.scrypt.salt'],
  ['a low cost', inScrypt('log2N', 13), 'INVALID_FIELD', 'start.key.scrypt.log2_n'],
  ['a high cost', inScrypt('log2N', 21), 'INVALID_FIELD', 'start.key.scrypt.log2_n'],
  ['blocks of no size', inScrypt('r', 0), 'INVALID_FIELD', 'start.key.scrypt.r'],
  ['large blocks', inScrypt('r', 33), 'INVALID_FIELD', 'start.key.scrypt.r'],
  ['no parallelism', inScrypt('p', 0), 'INVALID_FIELD', 'start.key.scrypt.p'],
  ['much parallelism', inScrypt('p', 17), 'INVALID_FIELD', 'start.key.scrypt.p'],
];

describe.each(engines)('sealed uploads: %s', (_name, open) => {
  let store: BackupStore;

  beforeEach(async () => {
    store = await opened(open);
  });

  it('are taken as the proto tells, and described', async () => {
    await send(store, dialogue());
    const key = { id: Buffer.alloc(16, 1), scrypt };
    const [backup] = (await list(store)).backups;
    expect(backup).toMatchObject({ key, seal: Buffer.alloc(32, 2), sha256: Buffer.alloc(0) });
    await expect(download(store)).rejects.toMatchObject({ reason: 'SEALED' });
  });

  it('may have frames that are a little longer than their pages', async () => {
    const requests = dialogue();
    inFrame((frame) => {
      frame.data = Buffer.alloc(262_144 + 512);
    })(requests);
    await send(store, requests);
    expect((await list(store)).backups).toHaveLength(1);
  });

  it.each(refusals)('are refused with %s', async (_what, change, reason, field) => {
    const requests = dialogue();
    change(requests);
    const fields = [{ field, description: expect.any(String) }];
    await expect(send(store, requests)).rejects.toMatchObject({ reason, fields });
    expect((await list(store)).backups).toEqual([]);
  });
});
