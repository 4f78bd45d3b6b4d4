import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { group } from '../../../services/history/domain/conversation.ts';
import type { Database } from '../../../services/history/store/database.ts';
import type { Closed } from '../../../services/history/store/intervals.ts';
import type { Conversation } from '../../../services/history/store/model.ts';
import { EXPIRY, HIDDEN, IMPORTED, QUIET } from '../../../services/history/store/tables.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import { addConversations, addMember } from './raw-rows.ts';

const NOW_MS = 1_000_000;

describe.each(engines)('counting unread messages: %s', (_name, open) => {
  let database: Database;

  beforeEach(async () => {
    ({ database } = await opened(open));
  });

  /** What the inbox tells of each conversation, by its name. */
  async function counts(user: string): Promise<Map<string, number>> {
    const methods = inboxMethods({ database, nowMs: () => NOW_MS });
    const { conversations } = await methods.list({ user, pageSize: 1_000 });
    return new Map(conversations.map((one) => [nameOf(one), one.unreadCount]));
  }

  it('agrees with a look at every seq', async () => {
    let made = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(worlds, { minLength: 1, maxLength: 5 }), async (all) => {
        const user = `user ${made++}`;
        for (const [n, world] of all.entries()) {
          await store(database, group(`${user}'s ${n}`), user, world);
        }
        const expected = all.map((world, n) => [`${user}'s ${n}`, naive(world)] as const);
        expect(await counts(user)).toEqual(new Map(expected));
      }),
      { numRuns: 30 },
    );
  });

  it('is exact to 1,000, and then says more than 1,000', async () => {
    for (const unread of [999, 1_000, 1_001, 1_002, 1_000_000_000]) {
      const room = group(`${unread}`);
      await addConversations(database, [room], 7 + unread);
      await addMember(database, [room], 'bob', { read_seq: 7 });
    }
    expect(await counts('bob')).toEqual(
      new Map([
        ...([
          ['999', 999],
          ['1000', 1_000],
        ] as const),
        ...([
          ['1001', 1_001],
          ['1002', 1_001],
          ['1000000000', 1_001],
        ] as const),
      ]),
    );
  });

  it('reads on where many messages do not count', async () => {
    const room = group('quiet');
    await addConversations(database, [room], 10_000);
    await addMember(database, [room], 'bob', { read_seq: 3 });
    const quiet = Array.from({ length: 9_990 }, (_, n) => [room.id, n + 6]);
    for (let first = 0; first < quiet.length; first += 1_000) {
      const some = quiet.slice(first, first + 1_000);
      await database.run((session) => session.insert(QUIET, some, 'refuse'));
    }
    // 4 and 5 below, 9,996 to 10,000 above.
    expect(await counts('bob')).toEqual(new Map([['quiet', 7]]));
  });
});

interface World {
  lastSeq: number;
  floorSeq: number;
  readSeq: number;
  hiddenUpToSeq: number;
  former: boolean;
  intervals: Closed[];
  quiet: Closed[];
  imported: Closed[];
  hidden: Closed[];
  expiring: (Closed & { atMs: number })[];
}

const LAST = 1_500;

/** Disjoint runs, ascending, which need not touch what is there. */
const runs = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 400 })), {
    maxLength: 6,
  })
  .map((pairs) => {
    let next = 1;
    return pairs.map(([gap, length]): Closed => {
      const from = next + gap;
      next = from + length + 1;
      return { from, to: from + length - 1 };
    });
  });

const worlds: fc.Arbitrary<World> = fc.record({
  lastSeq: fc.nat(LAST),
  floorSeq: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: LAST })),
  readSeq: fc.oneof(fc.constant(0), fc.nat(LAST)),
  hiddenUpToSeq: fc.oneof(fc.constant(0), fc.nat(LAST)),
  former: fc.boolean(),
  intervals: fc.oneof(fc.constant<Closed[]>([{ from: 1, to: LAST }]), runs),
  quiet: runs,
  imported: runs,
  hidden: runs,
  expiring: runs.chain((all) =>
    fc
      .array(fc.constantFrom(NOW_MS - 1, NOW_MS, NOW_MS + 1), {
        minLength: all.length,
        maxLength: all.length,
      })
      .map((times) => all.map((run, n) => ({ ...run, atMs: times[n]! }))),
  ),
});

async function store(
  database: Database,
  room: Conversation,
  user: string,
  world: World,
): Promise<void> {
  const { lastSeq, floorSeq, readSeq, hiddenUpToSeq, former } = world;
  const intervals = world.intervals.map(({ from, to }, n) =>
    former || n < world.intervals.length - 1 ? [from, to] : [from],
  );
  const expiring = world.expiring.length > 0 ? 1 : 0;
  await addConversations(database, [room], lastSeq, { floor_seq: floorSeq, expiring });
  await addMember(database, [room], user, {
    role: former ? 0 : 1,
    intervals: Buffer.from(JSON.stringify(intervals)),
    ...{
      read_seq: readSeq,
      hidden_up_to_seq: hiddenUpToSeq,
      hides: world.hidden.length > 0 ? 1 : 0,
    },
  });
  const name = Buffer.from(user);
  await database.run(async (session) => {
    const quiet = world.quiet.flatMap(seqsOf).map((seq) => [room.id, seq]);
    const imported = world.imported.map(({ from, to }) => [room.id, from, to]);
    const hidden = world.hidden.flatMap(seqsOf).map((seq) => [room.id, name, seq]);
    const expiry = world.expiring.flatMap((run) =>
      seqsOf(run).map((seq) => [room.id, seq, run.atMs, 0]),
    );
    await session.insert(QUIET, quiet, 'keep');
    await session.insert(IMPORTED, imported, 'keep');
    await session.insert(HIDDEN, hidden, 'keep');
    await session.insert(EXPIRY, expiry, 'keep');
  });
}

/** The naive way: seq by seq. */
function naive(world: World): number {
  const { intervals, former, lastSeq } = world;
  const isIn = (seq: number, all: readonly Closed[]) =>
    all.some(({ from, to }) => from <= seq && seq <= to);
  const open = intervals.at(-1)?.from ?? Number.POSITIVE_INFINITY;
  const end = former ? (intervals.at(-1)?.to ?? 0) : lastSeq;
  const expired = world.expiring.filter(({ atMs }) => atMs <= NOW_MS);
  const first = Math.max(world.floorSeq, world.readSeq + 1, world.hiddenUpToSeq + 1);
  const unread = seqsOf({ from: first, to: end })
    .filter((seq) => isIn(seq, intervals) || (!former && seq >= open))
    .filter((seq) => !isIn(seq, [...world.quiet, ...world.imported, ...world.hidden, ...expired]));
  return Math.min(unread.length, 1_001);
}

function seqsOf({ from, to }: Closed): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);
}
