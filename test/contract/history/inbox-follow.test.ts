import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Conversation as ConversationTold } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { settleLeftOver } from '../../../services/history/domain/settle-pending.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { interrupted } from './counting.ts';
import { engines, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import { addConversations, addMember } from './raw-rows.ts';

const ROOMS = 4;

/** A device marks a room as read, and the service dies over it after some steps; or the sweep runs. */
type Act = { room: number; seq: number; dies: number | undefined } | 'sweep';

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      room: fc.nat(ROOMS - 1),
      seq: fc.integer({ min: 1, max: 100 }),
      dies: fc.oneof(fc.constant(undefined), fc.nat(10)),
    }),
  },
  { weight: 1, arbitrary: fc.constant('sweep' as const) },
);

describe.each(engines)("following a user's revision: %s", (_name, open) => {
  let database: Database;

  beforeEach(async () => {
    ({ database } = await opened(open));
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
        await addMember(database, rooms, user);
        const known = new Map<string, ConversationTold>();
        const promised = new Map<string, bigint>();
        let since: bigint | undefined;

        const act = async (what: Act) => {
          if (what === 'sweep') return sweep();
          const value = rooms[what.room]!.names[0]!;
          const seq = BigInt(what.seq);
          const over =
            what.dies === undefined ? database : new BreakingDatabase(database, what.dies);
          try {
            await methods(over).markRead({ user, conversation: { case: 'group', value }, seq });
            if (seq > (promised.get(value) ?? 0n)) promised.set(value, seq);
          } catch (error) {
            if (!(error instanceof Died)) throw error;
          }
        };
        const busy = interrupted(database, async () => {
          await Promise.all((turns.shift() ?? []).map(act));
        });
        const follow = async () => {
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
          for (const [name, seq] of before) {
            expect(known.get(name)?.marks?.readSeq).toBeGreaterThanOrEqual(seq);
          }
        };

        await follow();
        while (turns.length > 0) await follow();
        await sweep();
        await follow();
        const { conversations } = await methods(database).list({ user });
        expect(known).toEqual(new Map(conversations.map((one) => [nameOf(one), one])));
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
