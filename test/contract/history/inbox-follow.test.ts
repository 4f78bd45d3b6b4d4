import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  type Conversation as ConversationTold,
  MemberState,
} from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { ServiceError } from '../../../services/common/errors.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { settleLeftOver } from '../../../services/history/domain/settle-pending.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { writeIntervals } from '../../../services/history/store/intervals.ts';
import { ROLE } from '../../../services/history/store/standing.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { interrupted } from './counting.ts';
import { actorsIn } from './directory.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import { addConversations, addMember } from './raw-rows.ts';

const ROOMS = 4;

/**
 * A device marks a room as read, or where no seq is given the room is deleted, and the service dies over it
 * after some steps; or the sweep runs.
 */
type Act = { room: number; seq: number | undefined; dies: number | undefined } | 'sweep';

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      room: fc.nat(ROOMS - 1),
      seq: fc.option(fc.integer({ min: 1, max: 100 }), { freq: 4, nil: undefined }),
      dies: fc.oneof(fc.constant(undefined), fc.nat(10)),
    }),
  },
  { weight: 1, arbitrary: fc.constant('sweep' as const) },
);

describe.each(engines)("following a user's revision: %s", (_name, open) => {
  let context: HistoryContext;
  let database: Database;

  beforeEach(async () => {
    context = await opened(open);
    ({ database } = context);
  });

  const methods = (over: Database) => inboxMethods({ database: over, nowMs: Date.now });

  async function sweep(): Promise<void> {
    for await (const _ of settleLeftOver(database));
  }

  it('misses nothing, whoever writes meanwhile or dies over it', async () => {
    let made = 0;
    // Each turn stands between two statements of the reader, and its acts happen at once.
    const plans = fc.array(fc.array(acts, { maxLength: 3 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(plans, async (turns) => {
        const user = `user ${made++}`;
        const rooms = Array.from({ length: ROOMS }, (_, n) => group(`${user}'s ${n}`));
        await addConversations(database, rooms, 100);
        await addMember(database, rooms.slice(1), user);
        // One that they left.
        const former = { role: ROLE.former, intervals: writeIntervals([{ from: 1, to: 100 }]) };
        await addMember(database, rooms.slice(0, 1), user, former);
        const known = new Map<string, ConversationTold>();
        const promised = new Map<string, bigint | 'gone'>();
        const deleted = new Set<string>();
        // Marks over which the service died: repeated, they may be answered before the sweep tells of them.
        const doubted = new Set<{ readonly name: string }>();
        let since: bigint | undefined;

        const mark = async (over: Database, value: string, seq: bigint) => {
          await methods(over).markRead({ user, conversation: { case: 'group', value }, seq });
          const before = promised.get(value) ?? 0n;
          if (before !== 'gone' && seq > before) promised.set(value, seq);
        };
        const remove = async (over: Database, value: string) => {
          deleted.add(value);
          const { appends, nowMs } = context;
          await actorsIn({ database: over, appends, nowMs }, value)().delete();
          promised.set(value, 'gone');
        };
        const settle = async () => {
          const before = [...doubted];
          await sweep();
          for (const one of before) doubted.delete(one);
        };
        const act = async (what: Act) => {
          if (what === 'sweep') return settle();
          const value = rooms[what.room]!.names[0]!;
          const over =
            what.dies === undefined ? database : new BreakingDatabase(database, what.dies);
          try {
            if (what.seq === undefined) await remove(over, value);
            else await mark(over, value, BigInt(what.seq));
          } catch (error) {
            const isRefused = error instanceof ServiceError && error.reason === 'NOT_A_MEMBER';
            if (!(error instanceof Died) && !(isRefused && deleted.has(value))) throw error;
            doubted.add({ name: value });
          }
        };
        const busy = interrupted(database, async () => {
          await Promise.all((turns.shift() ?? []).map(act));
        });
        const follow = async () => {
          const inDoubt = new Set([...doubted].map(({ name }) => name));
          const before = [...promised];
          const request = {
            user,
            pageSize: 2,
            ...(since !== undefined && { sinceUserRevision: since }),
          };
          const pages = await methods(busy).pages(request);
          for (const one of pages.flatMap(({ conversations }) => conversations)) {
            known.set(nameOf(one), one);
          }
          const revision = pages[0]!.userRevision;
          expect(revision).toBeGreaterThanOrEqual(since ?? 0n);
          since = revision;
          for (const [name, due] of before) {
            const one = known.get(name);
            if (due === 'gone') {
              // What was gone before the first list is not told of.
              if (one) expect(one.state).toBe(MemberState.GONE);
            } else if (!deleted.has(name) && !inDoubt.has(name)) {
              expect(one?.marks?.readSeq).toBeGreaterThanOrEqual(due);
            }
          }
        };

        await follow();
        while (turns.length > 0) await follow();
        // What was answered is told without the sweep, too.
        await follow();
        await settle();
        await follow();
        const { conversations } = await methods(database).list({ user });
        const standing = [...known].filter(([, { state }]) => state !== MemberState.GONE);
        expect(new Map(standing)).toEqual(new Map(conversations.map((one) => [nameOf(one), one])));
        expect(
          (await methods(database).list({ user, sinceUserRevision: since! })).conversations,
        ).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  it('may be told of a change again and again', async () => {
    const room = group('room');
    await addConversations(database, [room], 100);
    await addMember(database, [room], 'bob');
    const mark = { user: 'bob', conversation: { case: 'group', value: 'room' } } as const;
    let revision = 0n;
    for (let dies = 0, seq = 1n; ; dies++, seq++) {
      const outcome = await methods(new BreakingDatabase(database, dies))
        .markRead({ ...mark, seq })
        .catch((error: unknown) => error);
      await sweep();
      await sweep();
      const page = await methods(database).list({ user: 'bob', sinceUserRevision: revision });
      const [one] = (await methods(database).list({ user: 'bob' })).conversations;
      const readSeq = one?.marks?.readSeq ?? 0n;
      const rose = readSeq === seq;
      expect(page.conversations.map(nameOf)).toEqual(rose ? ['room'] : []);
      expect(page.userRevision > revision).toBe(rose);
      expect(one?.userRevision).toBe(page.userRevision);
      revision = page.userRevision;
      if (!(outcome instanceof Died)) {
        expect(dies).toBeGreaterThan(5);
        break;
      }
    }
  });
});
