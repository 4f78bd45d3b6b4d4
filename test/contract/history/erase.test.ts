import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import { EraseUserRequestSchema } from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { eraseUser as eraseSteps } from '../../../services/history/domain/erase-user.ts';
import { eraseUser } from '../../../services/history/handlers/erase-user.ts';
import { SWEPT_AT_ONCE } from '../../../services/history/limits.ts';
import { notePending, settlePending } from '../../../services/history/store/pending.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { callAs, methodsOf } from './calls.ts';
import { actorsIn, profilesOf } from './directory.ts';
import { engines, never, opened } from './engines.ts';
import { appendAll, decoded, encoded, importAll, numbered, readAll, textOf } from './messages.ts';
import { allRows, rowsOf, tablesWith } from './raw-rows.ts';
import { sweepAt } from './sweeps.ts';

describe.each(engines)('erasing a user: %s', (_name, open) => {
  /** A name that nothing else holds. */
  const ann = 'Ann Ünique';
  const secret = 'what Ann said';
  const chat = pair(ann, 'bob');
  const room = group('room');
  const toBob = { user: ann, conversation: { case: 'peer', value: 'bob' } } as const;
  const ofBob = { user: 'bob', conversation: { case: 'peer', value: ann } } as const;
  let context: HistoryContext;
  let service: ReturnType<typeof methodsOf>;

  beforeEach(async () => {
    context = await opened(open);
    service = methodsOf(context);
  });

  const erase = (user = ann, call = callAs()) =>
    eraseUser(context, create(EraseUserRequestSchema, { user }), call);

  /** What Ann says, with all that leaves rows. */
  const says = (prefix: string, count: number) =>
    encoded(
      ...Array.from({ length: count }, (_, n) => ({
        ...{ id: `${prefix}${n}`, sender: ann, sentAtMs: 7n, expiresAtMs: BigInt(n % 3) << 50n },
        content: { text: secret, thread: secret },
      })),
    );

  it('leaves no byte of what they said, nor of their name but where a pair is addressed', async () => {
    const rooms = actorsIn(context, 'room')();
    await rooms.create({ members: [{ user: ann }, { user: 'bob' }, { user: 'carol' }] });
    await rooms.say('bob', 'hello');
    await rooms.say(ann, secret);
    await rooms.remove('carol');
    await profilesOf(context).put({ user: ann, displayName: secret });
    await appendAll(context.database, chat, [...numbered('b', 3, 'bob'), ...says('a', 5)]);
    await appendAll(context.database, pair(ann, ann), says('s', 2));
    await importAll(context.database, group('old'), [...says('o', 3), ...numbered('b', 1, 'bob')]);
    await service.delete({ ...toBob, scope: DeleteScope.FOR_ME, seqs: [1n, 2n] });
    await service.delete({ ...toBob, scope: DeleteScope.FOR_EVERYONE, seqs: [4n] });
    const ofOthers = await readAll(context.database, group('old'));
    expect(await tablesWith(context.database, ann)).toEqual(
      expect.arrayContaining([
        'member',
        'membership',
        'account',
        'hidden',
        'change_log',
        'profile',
      ]),
    );

    expect(await erase()).toMatchObject({ messages: 11n, conversations: 4n });
    expect(await tablesWith(context.database, secret)).toEqual([]);
    expect(await tablesWith(context.database, ann)).toEqual(['conversation']);
    const conversations = (await allRows(context.database)).conversation!;
    const named = conversations.filter((row) => row.some((value) => String(value).includes(ann)));
    expect(named.map(([id]) => id)).toEqual(expect.arrayContaining([chat.id, pair(ann, ann).id]));
    expect(named).toHaveLength(2);
    expect((await readAll(context.database, group('old'))).at(-1)).toEqual(ofOthers.at(-1));
    expect(await rooms.get()).toMatchObject({ group: { memberCount: 1 } });
  });

  it('leaves tombstones that tell of no sender, and are told as changes', async () => {
    await appendAll(context.database, chat, [...says('a', 1), ...numbered('b', 1, 'bob')]);
    await erase();
    const { messages, result } = await service.sync(ofBob);
    expect(messages).toMatchObject([
      { seq: 2n, id: 'b0', sender: 'bob', revision: 0n },
      { seq: 1n, id: 'a0', sender: '', sentAtMs: 7n, revision: 1n },
    ]);
    expect(messages[1]!.content).toBeUndefined();
    expect(messages[1]!.deletedAtMs).toBeGreaterThan(0n);
    expect(result.revision).toBe(1n);
    const changes = await service.changes({ ...ofBob, sinceRevision: 0n });
    expect(changes.messages.map(({ seq }) => seq)).toEqual([1n]);
    expect(await rowsOf(context.database, 'quiet', chat.id)).toEqual([[chat.id, 1]]);
    const again = await appendAll(context.database, chat, numbered('a', 1));
    expect(again).toMatchObject([{ seq: 1, repeated: true }]);
  });

  it('takes the sender from messages that were deleted before, and leaves when', async () => {
    await appendAll(context.database, chat, says('a', 1));
    await service.delete({ ...toBob, scope: DeleteScope.FOR_EVERYONE, seqs: [1n] });
    const [before] = await readAll(context.database, chat);
    await erase();
    const [after] = await readAll(context.database, chat);
    expect(after).toMatchObject({ deletedAtMs: before!.deletedAtMs, revision: 2 });
    expect(decoded(after!).sender).toBe('');
    const changes = await rowsOf(context.database, 'change_log', chat.id);
    expect(changes.map(([, revision, seq]) => [revision, seq])).toEqual([[2, 1]]);
  });

  it('finds who was only ever named as a sender, and former members', async () => {
    const rooms = actorsIn(context, 'room')();
    await rooms.create({ members: [{ user: ann }] });
    await rooms.say(ann, secret);
    await rooms.remove(ann);
    await actorsIn(context, 'made')().create({});
    await importAll(context.database, group('made'), says('m', 2));
    expect(await erase()).toMatchObject({ messages: 3n, conversations: 1n });
    expect(await tablesWith(context.database, ann)).toEqual([]);
    expect(await rooms.get()).toMatchObject({ group: { memberCount: 0 } });
  });

  it('leaves nothing where a change reaches the erased user behind it', async () => {
    const { database } = context;
    await appendAll(database, chat, says('a', 1));
    const pending = await database.transaction(async (transaction) => ({
      value: await notePending(transaction, chat.id, [ann]),
      commit: true,
    }));
    await erase();
    await settlePending(database, pending);
    expect(await tablesWith(context.database, ann)).toEqual(['conversation']);
  });

  it('goes through any number of messages, and what others said stays', async () => {
    const count = 2 * SWEPT_AT_ONCE + 10;
    const mixed = Array.from({ length: count }, (_, n) => ({
      ...{ id: `${n}`, sender: n % 4 === 0 ? ann : 'bob', sentAtMs: 1n },
      content: { text: n % 4 === 0 ? secret : `${n}` },
    }));
    await importAll(context.database, room, encoded(...mixed));
    expect(await erase()).toMatchObject({ messages: BigInt(Math.ceil(count / 4)) });
    const texts = (await readAll(context.database, room)).map(textOf);
    expect(texts).toEqual(mixed.map(({ content }, n) => (n % 4 === 0 ? undefined : content.text)));
    expect(await tablesWith(context.database, ann)).toEqual([]);
  });

  it('may be asked for again, and for somebody who never was', async () => {
    await appendAll(context.database, chat, says('a', 2));
    expect(await erase()).toMatchObject({ messages: 2n, conversations: 1n });
    const rows = await allRows(context.database);
    expect(await erase()).toMatchObject({ messages: 0n, conversations: 0n });
    expect(await erase('nobody')).toMatchObject({ messages: 0n, conversations: 0n });
    expect(await allRows(context.database)).toEqual(rows);
  });

  it('lets somebody else take the name, who starts with nothing', async () => {
    await appendAll(context.database, chat, [...says('a', 2), ...numbered('b', 2, 'bob')]);
    await service.delete({ ...ofBob, scope: DeleteScope.FOR_ME, seqs: [3n] });
    await erase();
    expect(await service.sync(toBob)).toMatchObject({ messages: [] });
    await service.append({ ...toBob, messages: [{ id: 'new', content: { text: 'I am new' } }] });
    const seen = await service.sync(toBob);
    expect(seen.messages.map(({ seq }) => seq)).toEqual([5n]);
    expect(seen.result).toMatchObject({ reachedOldest: true });
    expect((await service.sync(ofBob)).messages.map(({ seq }) => seq)).toEqual([5n, 4n, 2n, 1n]);
  });

  it('is for the person themself, or a service', async () => {
    await appendAll(context.database, chat, says('a', 1));
    await expect(erase(ann, callAs('bob'))).rejects.toMatchObject({
      ...{ code: 7, reason: 'NOT_THE_CALLER' },
    });
    await expect(erase('')).rejects.toMatchObject({ code: 3, reason: 'MISSING_FIELD' });
    expect(await erase(ann, callAs(ann))).toMatchObject({ messages: 1n });
  });

  it('goes on by itself where the caller went away', async () => {
    await importAll(context.database, room, says('a', SWEPT_AT_ONCE + 10));
    const gone = AbortSignal.abort(new Error('the caller is gone'));
    await expect(erase(ann, callAs('', gone))).rejects.toThrow('the caller is gone');
    expect(await tablesWith(context.database, ann)).toContain('message');
    await sweepAt(context, Date.now());
    expect(await tablesWith(context.database, ann)).toEqual([]);
  });

  it('erases what came until it was done with a conversation', async () => {
    await appendAll(context.database, chat, [...numbered('b', 2, 'bob'), ...says('a', 1)]);
    const steps = eraseSteps(context.database, ann, Date.now());
    expect((await steps.next()).value).toEqual({ messages: 1, conversations: 0 });
    await importAll(context.database, chat, says('c', SWEPT_AT_ONCE + 2));
    expect((await Array.fromAsync(steps)).filter(({ messages }) => messages > 0)).toEqual([
      { messages: SWEPT_AT_ONCE, conversations: 0, left: false },
      { messages: 2, conversations: 1, left: true },
    ]);
    expect(await tablesWith(context.database, ann)).toEqual(['conversation']);
  });

  it('ends while somebody goes on writing under the name', async () => {
    await importAll(context.database, room, says('a', SWEPT_AT_ONCE));
    let ended = false;
    const writing = (async () => {
      for (let n = 0; !ended; n++) await appendAll(context.database, chat, says(`w${n}.`, 3));
    })();
    expect((await erase()).messages).toBeGreaterThanOrEqual(BigInt(SWEPT_AT_ONCE));
    ended = true;
    await writing;
    const standing = await readStanding(context.database, chat.id, [ann], never);
    const memberships = (await allRows(context.database)).membership!;
    const has = memberships.some(([user]) =>
      Buffer.from(user as Uint8Array).equals(Buffer.from(ann)),
    );
    if (standing?.members.has(ann)) expect(has).toBe(true);
    await erase();
    expect(await tablesWith(context.database, ann)).toEqual(['conversation']);
  });
});
