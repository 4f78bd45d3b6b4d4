import { beforeEach, describe, expect, it } from 'vitest';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { callAs, importRuns, methodsOf } from './calls.ts';
import { actorsIn } from './directory.ts';
import { engines, never, opened } from './engines.ts';

describe.each(engines)('importing: %s', (_name, open) => {
  const nowMs = 1_000_000_000n;
  const retentionMs = 1_000_000;
  const toRoom = { conversation: { case: 'group', value: 'room' } } as const;
  const toBob = { user: 'alice', conversation: { case: 'peer', value: 'bob' } } as const;
  let context: HistoryContext;
  let parts: Pick<HistoryContext, 'database' | 'appends' | 'nowMs' | 'retentionMs'>;

  beforeEach(async () => {
    context = await opened(open);
    const { database, appends } = context;
    parts = { database, appends, nowMs: () => Number(nowMs), retentionMs };
  });

  /** Messages by their ids: the seconds of their ages, and of what they have left. */
  const aged = (ages: Record<string, readonly [ageS: number, leftS?: number]>) =>
    Object.entries(ages).map(([id, [ageS, leftS]]) => ({
      ...{ id, sender: 'alice', sentAtMs: nowMs - BigInt(ageS * 1000) },
      expiresAtMs: leftS === undefined ? 0n : nowMs + BigInt(leftS * 1000),
    }));

  const idsIn = async (asked: typeof toRoom | typeof toBob) =>
    (await methodsOf(context).sync(asked)).messages.map(({ id }) => id).reverse();

  it('skips what retention would remove at once, and what has expired', async () => {
    const messages = aged({
      ...{ old: [1001], kept: [1000], future: [-1e6] },
      ...{ expired: [0, 0], long: [0, -10], lasting: [0, 1e9] },
    });
    const runs = [
      { ...toRoom, messages },
      { ...toBob, messages },
    ];
    expect(await importRuns(parts, runs)).toMatchObject({ added: 6, repeated: 0, skipped: 6 });
    expect(await importRuns(parts, runs)).toMatchObject({ added: 0, repeated: 6, skipped: 6 });
    expect(await importRuns({ ...parts, retentionMs: 0 }, runs)).toMatchObject({
      added: 2,
      skipped: 4,
    });
    expect(await idsIn(toBob)).toEqual(['kept', 'future', 'old']);
  });

  it("keeps a group's own retention before the configured one", async () => {
    await actorsIn(context, 'room')().create({ retentionS: 10n });
    const messages = aged({ old: [11], young: [10] });
    expect(await importRuns(parts, [{ ...toRoom, messages }])).toMatchObject({
      added: 1,
      skipped: 1,
    });
    const unlimited = { ...parts, retentionMs: 0 };
    expect(await importRuns(unlimited, [{ ...toRoom, messages }])).toMatchObject({
      ...{ repeated: 1, skipped: 1 },
    });
    const longer = aged({ older: [2000], younger: [1] });
    expect(await importRuns(parts, [{ ...toRoom, messages: longer }])).toMatchObject({ added: 1 });
    expect(await idsIn(toRoom)).toEqual(['young', 'younger']);
  });

  it('begins no conversation with what is skipped alone', async () => {
    const run = { ...toRoom, messages: aged({ old: [5000] }) };
    expect(await importRuns(parts, [run])).toMatchObject({ added: 0, skipped: 1 });
    expect(await readStanding(context.database, group('room').id, [], never)).toBeUndefined();
  });

  it('is read by everybody already', async () => {
    const runs = [toRoom, toBob].map((asked) => ({ ...asked, messages: aged({ a: [1], b: [2] }) }));
    await importRuns(parts, runs);
    await methodsOf(context).append({ ...toBob, messages: [{}] });
    await importRuns(parts, [{ ...toBob, messages: aged({ c: [3] }) }]);
    const { id } = pair('alice', 'bob');
    const found = await context.database.run((session) =>
      session.rows('SELECT from_seq, to_seq FROM imported WHERE conversation_id = ?', [id]),
    );
    expect(found).toEqual([
      [1, 2],
      [4, 4],
    ]);
  });

  it('tells which run and message it refuses, and has stored the runs before', async () => {
    await importRuns(context, [{ ...toBob, messages: [{ id: 'x', content: { text: '1' } }] }]);
    const runs = [
      { ...toRoom, messages: aged({ a: [1] }) },
      { ...toBob, messages: [{ id: 'y' }, { id: 'x', content: { text: '2' } }] },
      { ...toRoom, messages: aged({ b: [1] }) },
    ];
    await expect(importRuns(context, runs)).rejects.toMatchObject({
      ...{ code: 6, reason: 'MESSAGE_ID_CONFLICT' },
      fields: [{ field: 'runs[1].messages[1].id' }],
    });
    expect([await idsIn(toRoom), await idsIn(toBob)]).toEqual([['a'], ['x']]);
  });

  it('is for members alone where a user imports', async () => {
    await actorsIn(context, 'room')().create({ members: [{ user: 'alice' }] });
    const messages = [{ id: '1', sender: 'carol' }, { id: '2' }];
    const run = { ...toRoom, messages };
    const alice = callAs('alice');
    expect(await importRuns(context, [run], alice)).toMatchObject({ added: 2 });
    await actorsIn(context, 'room')().remove('alice');
    await expect(importRuns(context, [run], alice)).rejects.toMatchObject({
      reason: 'NOT_A_MEMBER',
    });
  });
});
