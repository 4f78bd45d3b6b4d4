import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { Download } from '../../../clients/backup/download.ts';
import { unpackFrames } from '../../../clients/backup/frames-download.ts';
import { VerificationState } from '../../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import { inParallel } from '../../../services/backup/domain/in-parallel.ts';
import { type MinioOptions, MinioStore } from '../../../services/backup/store/minio.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { type FreshBucket, freshBucket } from '../../support/databases.ts';
import { eventually } from '../../support/eventually.ts';
import { Random } from '../../support/random.ts';
import { optionsOf } from './bucket-options.ts';
import { uploadChanges } from './dialogue.ts';
import { erase, remove } from './keeping.ts';
import { type Fault, RequestProxy, type SeenRequest } from './request-proxy.ts';
import {
  age,
  download,
  downloadParts,
  list,
  madeDatabase,
  upload,
  writePage,
} from './transfers.ts';
import { TestVerifier } from './verification.ts';

/** Cases that run at once: what they wait for is mostly the store. */
const CASES_AT_ONCE = 16;

/** Faults that are over with the request that they befall: another try succeeds. */
const PASSING: readonly Fault[] = [
  ...(['broken before', 'broken within', 'broken after', 'answer broken', 'silent'] as const),
  ...(['slow', 'busy', 'unreachable', 'sent damaged'] as const),
];

/** Faults that show in what is read: the store gives other bytes than it was given. */
const DAMAGES: readonly Fault[] = ['damaged', 'short', 'another'];

/** Faults that befall a step and all that come after it. */
const LASTING: readonly Fault[] = ['broken before', 'broken after', 'busy', 'unreachable', 'full'];

const first = madeDatabase(40);
const second = Buffer.concat([first, madeDatabase(9, 4096, 5)]);
for (const page of [0, 3, 20]) writePage(second, page, 4096, 9);
second.writeUInt16BE(4096, 16);

/** One call, with what is stored before. */
interface Operation {
  /** States of the database that are backups before it. */
  readonly before: readonly Buffer[];
  /** The state that it adds; undefined where it only reads. */
  readonly adds?: Buffer;
  /** Rejects where what it got is wrong. */
  readonly run: (store: BackupStore, user: string) => Promise<unknown>;
}

/** What befalls which request of an operation, and perhaps all that come after it. */
interface Case {
  readonly step: SeenRequest;
  readonly fault: Fault;
  readonly lasts: boolean;
}

const plain = (before: readonly Buffer[], adds: Buffer): Operation => ({
  before,
  adds,
  run: (store, user) => upload(store, adds, { user, uploadId: 'tried' }),
});
const incremental = (before: readonly Buffer[], adds: Buffer): Operation => ({
  before,
  adds,
  run: (store, user) =>
    uploadChanges(store, adds, { user, uploadId: 'tried', mode: 2, pageSizeBytes: 4096 }),
});
const reading = (run: Operation['run']): Operation => ({ before: [first, second], run });

const uploads: Readonly<Record<string, Operation>> = {
  'the first plain upload': plain([], first),
  'a plain upload of changes': plain([first], second),
  'a plain upload of the same': plain([first], first),
  'the first incremental upload': incremental([], first),
  'an incremental upload of changes': incremental([first], second),
  'an incremental upload of the same': incremental([first], first),
  'an incremental upload of an older state': incremental([first, second], first),
};

const reads: Readonly<Record<string, Operation>> = {
  'a download': reading(async (store, user) => {
    expect((await download(store, { user })).file.equals(second)).toBe(true);
  }),
  'a download of frames': reading(async (store, user) => {
    expect((await downloadFrames(store, user)).equals(second)).toBe(true);
  }),
  'a list': reading(async (store, user) => expect(await numbersOf(store, user)).toEqual([2n, 1n])),
  'the age': reading(async (store, user) => {
    expect((await age(store, { user })).newestNumber).toBe(2n);
  }),
};

const verification = reading(async (store, user) => {
  await using stack = new AsyncDisposableStack();
  const verifier = await TestVerifier.open(stack, store, () => readAll);
  const { verification } = await verifier.verifyNow({ user });
  expect(verification?.state).toBe(VerificationState.PASSED);
});

const deletions: Readonly<Record<string, Operation & { readonly left: readonly bigint[] }>> = {
  'a deletion': { ...reading((store, user) => remove(store, { user, number: 1n })), left: [2n] },
  'an erasure': { ...reading((store, user) => erase(store, { user })), left: [] },
};

describe('whatever befalls a request to MinIO', () => {
  const seed = Number(process.env.FAULTS_SEED ?? Date.now() % 2 ** 32);
  const random = new Random(seed);
  let used: AsyncDisposableStack;
  let bucket: FreshBucket;
  let direct: MinioStore;
  let users = 0;

  beforeAll(async () => {
    console.log(`  faults: FAULTS_SEED=${seed}`);
    used = new AsyncDisposableStack();
    bucket = used.use(await freshBucket(inject('minioUrl')));
    direct = used.use(new MinioStore(optionsOf(bucket)));
  });
  afterAll(() => used.disposeAsync());

  it.each(Object.entries(uploads))('%s becomes a whole backup, or none', async (_, operation) => {
    const cases = (await stepsOf(operation)).flatMap((step) => someCases(random, step));
    const { before, adds, run } = operation;
    const states = adds ? [...before, adds] : before;
    await inParallel(CASES_AT_ONCE, cases, async (befalls) => {
      const user = await prepare(operation);
      const at = describeCase(befalls);
      const failed = await tried(operation, user, befalls);
      const numbers = await numbersOf(direct, user);
      const least = failed ? before.length : states.length;
      expect(numbers.length, at).toBeGreaterThanOrEqual(least);
      for (const number of numbers) await isWhole(user, number, states, at);
      await run(direct, user);
      expect(await numbersOf(direct, user), at).toHaveLength(states.length);
      await isWhole(user, BigInt(states.length), states, `${at}, and again`);
    });
  });

  it.each(Object.entries(reads))('%s succeeds, or says what is wrong', async (_, operation) => {
    const user = await prepare(operation);
    const cases = (await stepsOf(operation)).flatMap((step) => [
      ...PASSING.map((fault) => ({ step, fault, lasts: false })),
      ...(step.readsObject ? DAMAGES : []).map((fault) => ({ step, fault, lasts: false })),
      ...LASTING.map((fault) => ({ step, fault, lasts: true })),
    ]);
    await inParallel(CASES_AT_ONCE, cases, async (befalls) => {
      await tried(operation, user, befalls);
    });
  });

  it.each(Object.entries(deletions))('%s is done, or can be', async (_, operation) => {
    const cases = (await stepsOf(operation)).flatMap((step) => someCases(random, step));
    await inParallel(CASES_AT_ONCE, cases, async (befalls) => {
      const user = await prepare(operation);
      const at = describeCase(befalls);
      const failed = await tried(operation, user, befalls);
      const numbers = await numbersOf(direct, user);
      if (!failed) expect(numbers, at).toEqual(operation.left);
      for (const number of numbers) await isWhole(user, number, operation.before, at);
      await operation.run(direct, user).catch((error: unknown) => {
        expect(error, at).toMatchObject({ reason: 'BACKUP_NOT_FOUND' });
      });
      expect(await numbersOf(direct, user), at).toEqual(operation.left);
      const { backup } = await upload(direct, second, { user });
      expect((await download(direct, { user, number: backup.number })).file.equals(second)).toBe(
        true,
      );
    });
  });

  it('a verification never finds fault with what is whole', async () => {
    const cases = (await stepsOf(verification)).flatMap((step) => someCases(random, step));
    await inParallel(CASES_AT_ONCE, cases, async (befalls) => {
      const user = await prepare(verification);
      await tried(verification, user, befalls);
      await verification.run(direct, user);
    });
  });

  /** A user of the case's own, with the backups that an operation needs. */
  async function prepare({ before }: Operation): Promise<string> {
    users += 1;
    const user = `user ${users}`;
    for (const [at, file] of before.entries()) {
      await upload(direct, file, { user, uploadId: `before ${at}` });
    }
    return user;
  }

  /** The requests of an operation that nothing befalls. */
  async function stepsOf(operation: Operation): Promise<SeenRequest[]> {
    const user = await prepare(operation);
    await using proxy = await startProxy();
    await using store = new MinioStore(optionsThrough(bucket, proxy));
    await operation.run(store, user);
    return proxy.seen;
  }

  /** Runs an operation to which something happens; resolves to whether it failed, as it may. */
  async function tried(operation: Operation, user: string, befalls: Case): Promise<boolean> {
    const { step, fault, lasts } = befalls;
    const at = describeCase(befalls);
    await using proxy = await startProxy();
    proxy.onRequest = ({ number }) =>
      number === step.number || (lasts && number > step.number) ? fault : undefined;
    await using store = new MinioStore(optionsThrough(bucket, proxy));
    const error: unknown = await operation.run(store, user).then(
      () => undefined,
      (error: unknown) => error ?? 'nothing',
    );
    // What its sender has given up may still be carried out.
    const underWay = () => store.requestsInFlight + proxy.passing;
    await eventually(() => expect(underWay(), at).toBe(0), 5);
    if (error === undefined) return false;
    const isDamage = DAMAGES.includes(fault);
    expect(lasts || isDamage, `${at}: ${error}`).toBe(true);
    expect(error, at).toMatchObject(isDamage ? { code: DATA_LOSS } : { code: UNAVAILABLE });
    return true;
  }

  /** Reads a backup over a good connection. */
  async function isWhole(
    user: string,
    number: bigint,
    states: readonly Buffer[],
    at: string,
  ): Promise<void> {
    const { file } = await download(direct, { user, number });
    expect(file.equals(states[Number(number) - 1]!), `${at}: backup ${number}`).toBe(true);
  }

  async function startProxy(): Promise<RequestProxy> {
    const { endPoint, port } = optionsOf(bucket);
    return RequestProxy.start(endPoint, port);
  }
});

const UNAVAILABLE = 14;
const DATA_LOSS = 15;

/** How a store is opened through a proxy, with times after which what is silent is tried again. */
function optionsThrough(bucket: FreshBucket, { port }: RequestProxy): MinioOptions {
  const times = { smallAttemptMs: 2_000, attemptMs: 2_000, requestMs: 20_000 };
  return { ...optionsOf(bucket), endPoint: '127.0.0.1', port, times };
}

async function numbersOf(store: BackupStore, user: string): Promise<bigint[]> {
  return (await list(store, { user })).backups.map(({ number }) => number);
}

/** Downloads the newest backup as the client library does. */
async function downloadFrames(store: BackupStore, user: string): Promise<Buffer> {
  const isPlain = async () => undefined;
  async function* answers(number: bigint, offset: number) {
    const request = { user, number, offsetBytes: BigInt(offset), frames: true };
    for await (const part of downloadParts(store, request)) yield { part };
  }
  const open = (number: bigint, offset: number) => unpackFrames(answers(number, offset), offset);
  await using opened = await Download.open(open, isPlain, 0n, 0, undefined);
  return Buffer.concat(await Array.fromAsync(opened));
}

/** What may befall a step of an operation that changes what is stored: some of all that may. */
function someCases(random: Random, step: SeenRequest): Case[] {
  const damages = step.readsObject ? DAMAGES : [];
  const once = [...some(random, PASSING, 2), ...some(random, damages, 1)];
  const lasting = some(random, LASTING, random.between(0, 1));
  return [
    ...once.map((fault) => ({ step, fault, lasts: false })),
    ...lasting.map((fault) => ({ step, fault, lasts: true })),
  ];
}

/** Stands for SQLite's check, which has its own tests. */
async function readAll(file: AsyncIterable<Buffer>): Promise<undefined> {
  for await (const _ of file);
}

/** So many of a list, or all of it, each as likely as any other. */
function some<T>(random: Random, items: readonly T[], count: number): T[] {
  const left = [...items];
  while (left.length > count) left.splice(random.between(0, left.length - 1), 1);
  return left;
}

function describeCase({ step: { number, method, path }, fault, lasts }: Case): string {
  const where = `request ${number}, ${method} ${path.replace(/u\/\w+\/\w+\//, '')}`;
  return `${fault} ${lasts ? 'from' : 'at'} ${where}`;
}
