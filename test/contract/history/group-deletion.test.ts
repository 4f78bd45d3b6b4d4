import { beforeEach, describe, expect, it } from 'vitest';
import { Role } from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { settleLeftOver } from '../../../services/history/domain/settle-pending.ts';
import { SWEPT_AT_ONCE } from '../../../services/history/limits.ts';
import type { Database } from '../../../services/history/store/database.ts';
import { ROLE } from '../../../services/history/store/standing.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { type Counts, counting } from './counting.ts';
import { actorsIn } from './directory.ts';
import { engines, never, opened } from './engines.ts';
import { inboxMethods, nameOf } from './inbox.ts';
import { addRows, rowsOf } from './raw-rows.ts';

describe.each(engines)('telling that a group was deleted: %s', (_name, open) => {
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  const over = (database: Database) => ({
    ...{ database, appends: context.appends, nowMs: Date.now },
  });
  const as = (name = 'room') => actorsIn(context, name);

  /** A group of which Carol left, and Dave was removed. */
  async function begin(name = 'room'): Promise<void> {
    const members = [{ user: 'bob', role: Role.MODERATOR }, { user: 'carol' }, { user: 'dave' }];
    await as(name)('alice').create({ members });
    await as(name)('alice').say('alice', 'hello');
    await as(name)('carol').remove('carol');
    await as(name)('bob').remove('dave');
  }
  const everybody = ['alice', 'bob', 'carol', 'dave'];

  /** What an inbox tells of a group, all of it or since a user revision. */
  async function told(user: string, since?: bigint, name = 'room'): Promise<MemberState[]> {
    const request = { user, ...(since !== undefined && { sinceUserRevision: since }) };
    const pages = await inboxMethods(context).pages(request);
    return pages
      .flatMap(({ conversations }) => conversations)
      .filter((one) => nameOf(one) === name)
      .map(({ state }) => state);
  }

  async function revisions(): Promise<Map<string, bigint>> {
    const revisions = new Map<string, bigint>();
    for (const user of everybody) {
      revisions.set(user, (await inboxMethods(context).list({ user })).userRevision);
    }
    return revisions;
  }

  async function sweep(): Promise<void> {
    for await (const _ of settleLeftOver(context.database));
  }

  it.each(['alice', ''])('reaches members and former ones before "%s" is answered', async (who) => {
    await begin();
    const before = await revisions();
    expect(await told('carol')).toEqual([MemberState.FORMER]);
    await as()(who).delete();
    for (const user of everybody) {
      expect(await told(user, before.get(user))).toEqual([MemberState.GONE]);
      expect(await told(user)).toEqual([]);
    }
    const after = await revisions();
    await sweep();
    for (const user of everybody) {
      // Only who might have had to ask again is told again.
      const again = user === who ? [MemberState.GONE] : [];
      expect(await told(user, after.get(user))).toEqual(again);
      expect(await told(user)).toEqual([]);
    }
  });

  it('tells who is gone with what they left alone', async () => {
    await begin();
    const before = await revisions();
    await as()('alice').delete();
    const { conversations } = await inboxMethods(context).list({
      ...{ user: 'carol', sinceUserRevision: before.get('carol')! },
    });
    expect(conversations).toHaveLength(1);
    expect(conversations[0]?.lastMessage).toBeUndefined();
    expect(conversations).toMatchObject([
      { title: '', lastSeq: 0n, floorSeq: 0n, state: MemberState.GONE },
    ]);
  });

  it.each(['the owner asks again', 'the sweep goes on'])(
    'reaches all, wherever the service dies over it, once %s',
    async (what) => {
      let deleted = 0;
      for (let steps = 0, hasDied = true; hasDied; steps++) {
        const name = `room ${steps}`;
        await begin(name);
        const before = await revisions();
        const outcome = await actorsIn(
          over(new BreakingDatabase(context.database, steps)),
          name,
        )('alice')
          .delete()
          .catch((error: unknown) => error);
        hasDied = outcome instanceof Died;
        if (hasDied && what === 'the sweep goes on') await sweep();
        else if (hasDied) await as(name)('alice').delete();
        const isDeleted = (await told('alice', undefined, name)).length === 0;
        expect(isDeleted || steps < 5).toBe(true);
        if (isDeleted) deleted++;
        for (const user of everybody) {
          const due = isDeleted ? [MemberState.GONE] : [];
          expect(await told(user, before.get(user), name)).toEqual(due);
        }
      }
      expect(deleted).toBeGreaterThan(10);
    },
  );

  it('is done in batches, each for good, though the caller goes away', async () => {
    await begin();
    const { id } = group('room');
    const keys = Array.from({ length: 3 * SWEPT_AT_ONCE }, (_, n) => ({
      ...{ conversation_id: id, user_name: Buffer.from(`u${n}`) },
    }));
    await addRows(context.database, 'membership', keys);
    const rows = keys.map((key, n) => ({ ...key, role: n % 2 ? ROLE.member : ROLE.former }));
    await addRows(context.database, 'member', rows);
    const counts: Counts = { statements: 0, transactions: 0, inTransactions: 0 };
    const counted = over(counting(context.database, counts));

    const left = AbortSignal.abort(new Error('left'));
    await expect(actorsIn(counted, 'room', left)('alice').delete()).rejects.toThrow('left');
    const first = counts.statements + counts.inTransactions;
    expect(await told('u0', 0n)).toEqual([MemberState.GONE]);
    expect(await told('u999', 0n)).toEqual([]);

    await actorsIn(counted, 'room', never)('alice').delete();
    for (const user of ['bob', 'dave', 'u0', 'u1', 'u998', 'u999']) {
      expect(await told(user, 0n)).toEqual([MemberState.GONE]);
    }
    expect(await rowsOf(context.database, 'member', id)).toHaveLength(1);
    expect(counts.statements + counts.inTransactions).toBeLessThan(5 * first);
  });
});
