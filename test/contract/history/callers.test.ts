import { beforeEach, describe, expect, it } from 'vitest';
import type { HistoryContext } from '../../../services/history/context.ts';
import { callAs, importRuns, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';

describe.each(engines)('what a user may do: %s', (_name, open) => {
  const peer = { case: 'peer', value: 'bob' } as const;
  const room = { case: 'group', value: 'room' } as const;
  const notTheCaller = { reason: 'NOT_THE_CALLER' };
  const notAMember = { reason: 'NOT_A_MEMBER' };
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
    await as().append({ conversation: room, messages: [{ sender: 'alice' }] });
  });

  /** A service (user: empty), or a user who calls themself. */
  function as(user = '') {
    const call = callAs(user);
    const { append, sync } = methodsOf(context, call);
    return {
      append,
      import: (...runs: Parameters<typeof importRuns>[1]) => importRuns(context, runs, call),
      async seqs(request: Parameters<typeof sync>[0]) {
        return (await sync(request)).messages.map(({ seq }) => Number(seq));
      },
    };
  }

  it('reads and writes their own conversations', async () => {
    const alice = as('alice');
    await alice.append({ user: 'alice', conversation: peer, messages: [{}] });
    await alice.append({ user: 'alice', conversation: room, messages: [{}] });
    expect(
      await as('bob').seqs({ user: 'bob', conversation: { ...peer, value: 'alice' } }),
    ).toEqual([1]);
    expect(await alice.seqs({ user: 'alice', conversation: room })).toEqual([2, 1]);
  });

  it('acts for nobody else', async () => {
    const eve = as('eve');
    await expect(eve.seqs({ user: 'alice', conversation: peer })).rejects.toMatchObject(
      notTheCaller,
    );
    await expect(eve.seqs({ conversation: room })).rejects.toMatchObject(notTheCaller);
    const forged = { user: 'alice', conversation: peer, messages: [{}] };
    await expect(eve.append(forged)).rejects.toMatchObject(notTheCaller);
    const foreign = { user: 'eve', conversation: peer, messages: [{ sender: 'bob' }] };
    await expect(eve.append(foreign)).rejects.toMatchObject(notTheCaller);
    const run = { user: 'alice', conversation: peer, messages: [{ id: '1' }] };
    await expect(eve.import(run)).rejects.toMatchObject(notTheCaller);
  });

  it('stays out of groups of others, and makes none', async () => {
    const eve = as('eve');
    for (const conversation of [room, { ...room, value: 'nowhere' }]) {
      const request = { user: 'eve', conversation };
      await expect(eve.seqs(request)).rejects.toMatchObject(notAMember);
      await expect(eve.append({ ...request, messages: [{}] })).rejects.toMatchObject(notAMember);
      const run = { conversation, messages: [{ id: '1' }] };
      await expect(eve.import(run)).rejects.toMatchObject(notAMember);
    }
  });

  it('brings old messages of others into their own conversations, and makes them no members', async () => {
    const messages = [{ id: '1', sender: 'bob' }, { id: '2' }];
    const answer = await as('alice').import(
      { user: 'bob', conversation: { ...peer, value: 'alice' }, messages },
      { conversation: room, messages },
    );
    expect(answer).toMatchObject({ batch: 1n, added: 4, repeated: 0 });
    expect(await as().seqs({ conversation: room })).toEqual([3, 2, 1]);
    await expect(as('bob').seqs({ user: 'bob', conversation: room })).rejects.toMatchObject(
      notAMember,
    );
  });
});
