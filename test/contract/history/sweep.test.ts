import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { createLogger } from '../../../services/common/logger.ts';
import { Metrics } from '../../../services/common/metrics.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { noteErasure } from '../../../services/history/store/erasure.ts';
import { giveLeaseBack, takeLease } from '../../../services/history/store/lease.ts';
import { Sweeper } from '../../../services/history/sweeper.ts';
import { eventually } from '../../support/eventually.ts';
import { BreakingDatabase, Died } from './breaking-database.ts';
import { methodsOf } from './calls.ts';
import { actorsIn } from './directory.ts';
import { engines, opened } from './engines.ts';
import { appendAll, encoded, numbered } from './messages.ts';
import { allRows, rowsOf } from './raw-rows.ts';
import { sweepAt } from './sweeps.ts';

/** When the world below was made. */
const thenMs = 1_000_000;
/** When something of everything in it has to go. */
const nowMs = 2_000_000;
const rules = { retentionMs: 1_100_000, changesMs: 500_000 };

describe.each(engines)('sweeping: %s', (_name, open) => {
  const chat = pair('alice', 'bob');
  const room = group('room');
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  /** Conversations with what each job of a sweep has to remove, and with what it must leave. */
  async function fill({ database, appends }: HistoryContext): Promise<void> {
    const sentAt = (n: number) => BigInt(thenMs - 300_000 + n * 10_000);
    const messages = (prefix: string, sender: string) =>
      encoded(
        ...Array.from({ length: 40 }, (_, n) => ({
          ...{ id: `${prefix}${n}`, sender, sentAtMs: sentAt(n) },
          expiresAtMs: n % 7 === 0 ? BigInt(thenMs + n * 50_000) : 0n,
          content: { text: `${prefix} ${n}`, thread: n % 5 === 0 ? 'thread' : '' },
        })),
      );
    const then = { database, appends, nowMs: () => thenMs };
    for (const sender of ['alice', 'bob', 'carol']) {
      await appendAll(database, room, messages(sender, sender), { nowMs: then.nowMs });
    }
    await appendAll(database, chat, messages('i', 'bob'), {
      ...{ nowMs: then.nowMs, imported: { retentionMs: 0 } },
    });
    await appendAll(database, chat, messages('a', 'alice'), { nowMs: then.nowMs });
    const inRoom = { conversation: { case: 'group', value: 'room' } } as const;
    const forMe = { ...inRoom, scope: DeleteScope.FOR_ME };
    const forEveryone = { ...inRoom, scope: DeleteScope.FOR_EVERYONE };
    await methodsOf(then).delete({ ...forMe, user: 'alice', seqs: [2n, 70n, 111n] });
    await methodsOf(then).delete({ ...forEveryone, seqs: [3n, 4n, 90n] });
    const later = { ...then, nowMs: () => nowMs - 1_000 };
    await methodsOf(later).delete({ ...forEveryone, seqs: [5n, 95n] });
    await methodsOf(later).delete({ ...forMe, user: 'bob', seqs: [6n, 96n] });
    await noteErasure(database, 'alice', thenMs);
  }

  it('does all jobs, and what it leaves is right', async () => {
    await fill(context);
    await sweepAt(context, nowMs, rules);
    const rows = await allRows(context.database);
    const names = JSON.stringify(rows.member).concat(JSON.stringify(rows.membership));
    expect(names).not.toContain(JSON.stringify(Buffer.from('alice')));
    expect(rows.erasure).toEqual([]);
    const expired = rows.expiry!.filter(([, , expiresAtMs]) => Number(expiresAtMs) <= nowMs);
    expect(expired.map(([, , , swept]) => swept)).toEqual(expired.map(() => 1));
    const floors = rows.conversation!.map(([id, , , , , floorSeq]) => [id, floorSeq]);
    expect(new Map(floors as [Buffer, number][])).toEqual(
      new Map([
        [chat.id, 20],
        [room.id, 21],
      ]),
    );
    const methods = methodsOf(context);
    const inRoom = { user: 'bob', conversation: { case: 'group', value: 'room' } } as const;
    await expect(methods.changes({ ...inRoom, sinceRevision: 1n })).rejects.toMatchObject({
      reason: 'RESYNC_REQUIRED',
    });
    expect((await methods.changes({ ...inRoom, sinceRevision: 2n })).hiddenSeqs).toEqual([96n]);
  });

  it('ends alike when it dies after any number of steps, again and again', async () => {
    const smooth = await opened(open);
    await fill(smooth);
    await sweepAt(smooth, nowMs, rules);
    const expected = await allRows(smooth.database);

    await fill(context);
    let deaths = 0;
    for (;;) {
      const database = new BreakingDatabase(context.database, deaths);
      try {
        await sweepAt({ database }, nowMs, rules);
        break;
      } catch (error) {
        expect((error as AggregateError).errors).toContainEqual(expect.any(Died));
        deaths++;
      }
    }
    expect(deaths).toBeGreaterThan(20);
    await sweepAt(context, nowMs, rules);
    expect(await allRows(context.database)).toEqual(expected);
  });

  it('ends alike when several sweep at once', async () => {
    const alone = await opened(open);
    await fill(alone);
    await sweepAt(alone, nowMs, rules);
    await fill(context);
    await Promise.all([1, 2, 3].map(() => sweepAt(context, nowMs, rules)));
    expect(await allRows(context.database)).toEqual(await allRows(alone.database));
  });

  it('raises the revisions that a change was to raise whose maker died', async () => {
    const dying = new BreakingDatabase(context.database, (sql) => sql.includes('account'));
    const parts = { database: dying, appends: context.appends, nowMs: Date.now };
    const rooms = actorsIn(context, 'room')();
    await rooms.create({ members: [{ user: 'alice' }, { user: 'bob' }] });
    const before = await allRows(context.database);
    await expect(actorsIn(parts, 'room')().add('carol')).rejects.toThrow(Died);
    await expect(actorsIn(parts, 'room')().remove('bob')).rejects.toThrow(Died);
    expect((await allRows(context.database)).pending).toHaveLength(2);
    await sweepAt(context, nowMs);
    const after = await allRows(context.database);
    expect(after.pending).toEqual([]);
    const revisions = new Map(after.account!.map(([user, revision]) => [String(user), revision]));
    expect(revisions.get('carol')).toBe(1);
    expect(revisions.get('bob')).toBe(Number(before.account!.at(-1)![1]) + 1);
  });

  it('removes what is left of deleted groups, but for their names', async () => {
    await fill(context);
    await actorsIn(context, 'room')().delete();
    await sweepAt(context, nowMs, { changesMs: 1e9 });
    const rows = await allRows(context.database);
    const holding = Object.entries(rows).filter(([, rows]) =>
      rows.some((row) => row.some((value) => Buffer.isBuffer(value) && value.equals(room.id))),
    );
    expect(holding.map(([table]) => table).sort()).toEqual(['conversation', 'membership']);
    expect(rows.pending).toEqual([]);
    expect(rows.message).not.toEqual([]);
  });

  it('keeps no job from being done because another one fails', async () => {
    await fill(context);
    const fails = (sql: string) => sql.includes('FROM change_log');
    const database = new BreakingDatabase(context.database, fails);
    await expect(sweepAt({ database }, nowMs, rules)).rejects.toThrow('some of a sweep failed');
    const rows = await allRows(context.database);
    expect(rows.erasure).toHaveLength(1);
    expect(rows.expiry!.some(([, , , swept]) => swept === 1)).toBe(true);
  });

  it('lets one have a job at a time, and another after its time or when it gives it back', async () => {
    const [a, b] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    const take = (holder: Buffer, nowMs: number) =>
      takeLease(context.database, 'job', holder, nowMs, nowMs + 10);
    expect(await take(a, 0)).toBe(true);
    expect(await take(b, 9)).toBe(false);
    expect(await take(a, 9)).toBe(true);
    expect(await take(b, 18)).toBe(false);
    expect(await takeLease(context.database, 'other', b, 18, 28)).toBe(true);
    expect(await take(b, 19)).toBe(true);
    await giveLeaseBack(context.database, 'job', a);
    expect(await take(a, 20)).toBe(false);
    await giveLeaseBack(context.database, 'job', b);
    expect(await take(a, 20)).toBe(true);
    const both = [take(b, 100), take(Buffer.alloc(16, 3), 100)];
    expect((await Promise.all(both)).sort()).toEqual([false, true]);
  });

  describe('in the background', () => {
    const started = (database = context.database) => {
      const metrics = new Metrics();
      const sweeper = new Sweeper({
        ...{ database, ...rules, nowMs: () => nowMs, everyMs: 2, metrics },
        log: createLogger('test', 'silent'),
      });
      const count = async (name: string) => {
        const values = (await metrics.registry.getSingleMetric(name)?.get())?.values ?? [];
        return values.reduce((sum, { value }) => sum + value, 0);
      };
      return { sweeper, count };
    };

    it('does its work again and again, and counts it', async () => {
      await fill(context);
      const { sweeper, count } = started();
      await eventually(async () => {
        expect(await count('history_sweeps_total')).toBeGreaterThan(2);
      });
      expect(await count('history_sweep_rows_total')).toBeGreaterThan(40);
      expect(await count('history_sweep_failures_total')).toBe(0);
      await appendAll(context.database, group('new'), numbered('n', 3));
      await eventually(async () => {
        expect(await rowsOf(context.database, 'message', group('new').id)).toEqual([]);
      });
      await sweeper[Symbol.asyncDispose]();
      const swept = await count('history_sweeps_total');
      const lease = await context.database.run((session) =>
        session.rows('SELECT holder FROM lease WHERE name = ?', [Buffer.from('sweep')]),
      );
      expect(lease).toEqual([]);
      expect(await count('history_sweeps_total')).toBe(swept);
    });

    it('is done by one replica, and by another once that one stops', async () => {
      const replicas = [started(), started()];
      const counts = () => Promise.all(replicas.map(({ count }) => count('history_sweeps_total')));
      await eventually(async () => {
        expect(Math.max(...(await counts()))).toBeGreaterThan(10);
      });
      const [first] = await counts();
      const [busy, idle] = first! > 0 ? [0, 1] : [1, 0];
      expect((await counts())[idle]).toBe(0);
      await replicas[busy]!.sweeper[Symbol.asyncDispose]();
      await eventually(async () => {
        expect((await counts())[idle]).toBeGreaterThan(0);
      });
      await replicas[idle]!.sweeper[Symbol.asyncDispose]();
    });

    it('goes on after a failure', async () => {
      let broken = true;
      const { sweeper, count } = started(new BreakingDatabase(context.database, () => broken));
      await eventually(async () => {
        expect(await count('history_sweep_failures_total')).toBeGreaterThan(2);
      });
      broken = false;
      await eventually(async () => {
        expect(await count('history_sweeps_total')).toBeGreaterThan(0);
      });
      await sweeper[Symbol.asyncDispose]();
    });
  });
});
