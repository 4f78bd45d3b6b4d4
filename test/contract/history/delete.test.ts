import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DeleteScope } from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { DELETE_SEQS, DELETED_AT_ONCE } from '../../../services/history/limits.ts';
import { callAs, methodsOf } from './calls.ts';
import { databases, engines, migrated } from './engines.ts';
import { appendAll, numbered } from './messages.ts';
import { rowsOf, setMember, tablesWith } from './raw-rows.ts';
import { sweepAt } from './sweeps.ts';

describe.each(engines)('deleting: %s', (_name, open) => {
  const peer = { case: 'peer', value: 'bob' } as const;
  const room = { case: 'group', value: 'room' } as const;
  const roomId = group('room').id;
  const byAlice = { user: 'alice', conversation: peer };
  const byBob = { user: 'bob', conversation: { ...peer, value: 'alice' } };
  const forEveryone = { scope: DeleteScope.FOR_EVERYONE };
  const forMe = { scope: DeleteScope.FOR_ME };
  let stack: AsyncDisposableStack;
  let context: HistoryContext;
  let service: ReturnType<typeof methodsOf>;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    context = await open(stack);
    service = methodsOf(context);
  });
  afterEach(() => stack.disposeAsync());

  /** Seqs that a user sees, oldest first. */
  async function seqs(request: { user: string; conversation: { case: 'peer'; value: string } }) {
    const { messages } = await service.sync({ ...request, count: 10_000 });
    return messages.map(({ seq }) => Number(seq)).reverse();
  }

  async function revisionOf(user: string): Promise<number> {
    const rows = await context.database.run((session) =>
      session.rows<[number]>('SELECT revision FROM account WHERE user_name = ?', [
        Buffer.from(user),
      ]),
    );
    return rows[0]?.[0] ?? 0;
  }

  describe('for everyone', () => {
    it('leaves a tombstone, and nothing of what was said', async () => {
      const secret = 'what nobody shall know';
      const message = { id: 'a', sentAtMs: 7n, content: { text: secret, thread: secret } };
      const expiresAtMs = BigInt(Date.now() + 1e9);
      await service.append({ ...byAlice, messages: [message, { id: 'b', expiresAtMs }] });
      const beganMs = Date.now();
      const request = { ...byAlice, ...forEveryone, seqs: [1n, 2n, 1n] };
      expect(await service.delete(request)).toMatchObject({ deleted: 2n, revision: 1n });
      const { messages } = await service.sync(byBob);
      expect(messages).toMatchObject([
        { seq: 2n, id: 'b', expiresAtMs, revision: 1n },
        { seq: 1n, id: 'a', sender: 'alice', sentAtMs: 7n, editedAtMs: 0n, revision: 1n },
      ]);
      for (const { content, deletedAtMs } of messages) {
        expect(content).toBeUndefined();
        expect(Number(deletedAtMs)).toBeGreaterThanOrEqual(beganMs);
      }
      expect(await tablesWith(context.database, secret)).toEqual([]);
      const chat = pair('alice', 'bob').id;
      expect(await rowsOf(context.database, 'thread', chat)).toEqual([]);
      expect((await rowsOf(context.database, 'quiet', chat)).map((row) => row[1])).toEqual([1, 2]);
      expect(await service.delete(request)).toMatchObject({ deleted: 0n, revision: 1n });
      expect((await service.sync(byBob)).messages).toEqual(messages);
    });

    it('makes a repeat of whatever comes again under the id', async () => {
      await service.append({ ...byAlice, messages: [{ id: 'a', content: { text: 'a' } }] });
      await service.delete({ ...byAlice, ...forEveryone, seqs: [1n] });
      for (const text of ['a', 'b']) {
        const again = await service.append({
          ...byAlice,
          messages: [{ id: 'a', content: { text } }],
        });
        expect(again.messages).toMatchObject([{ seq: 1n, repeated: true }]);
      }
      expect((await service.sync(byBob)).messages).toMatchObject([{ id: 'a', revision: 1n }]);
    });

    it("deletes nothing where one is somebody else's, and leaves out what is not seen", async () => {
      await service.append({ ...byAlice, messages: [{}, {}] });
      await service.append({ ...byBob, messages: [{}] });
      const foreign = { ...byAlice, ...forEveryone, seqs: [1n, 3n] };
      const refused = { code: 7, reason: 'NOT_THE_SENDER' };
      await expect(service.delete(foreign)).rejects.toMatchObject(refused);
      expect((await service.sync(byAlice)).result.revision).toBe(0n);
      await service.delete({ ...byAlice, ...forMe, seqs: [3n] });
      const nothing = { ...foreign, seqs: [0n, 3n, 4n, 2n ** 64n - 1n] };
      expect(await service.delete(nothing)).toMatchObject({ deleted: 0n, revision: 1n });
      expect(await service.delete(foreign)).toMatchObject({ deleted: 1n, revision: 2n });
    });

    it('lets moderators, owners and services delete in groups', async () => {
      await service.append({ conversation: room, messages: 'abcdef'.split('').map(by) });
      const request = { user: 'a', conversation: room, ...forEveryone };
      await expect(service.delete({ ...request, seqs: [2n] })).rejects.toMatchObject({
        reason: 'NOT_THE_SENDER',
      });
      await setMember(context.database, roomId, 'a', 'role = 2');
      expect(await service.delete({ ...request, seqs: [2n] })).toMatchObject({ deleted: 1n });
      await setMember(context.database, roomId, 'a', 'role = 3');
      expect(await service.delete({ ...request, seqs: [3n] })).toMatchObject({ deleted: 1n });
      const whole = { conversation: room, ...forEveryone };
      expect(await service.delete({ ...whole, seqs: [4n] })).toMatchObject({ deleted: 1n });
      expect(await service.delete({ ...whole, upToSeq: 5n })).toMatchObject({ deleted: 2n });
      expect((await service.sync({ conversation: room })).messages[0]).toMatchObject({
        seq: 6n,
        deletedAtMs: 0n,
      });
    });

    it('lets a former member delete what they sent', async () => {
      await service.append({ conversation: room, messages: [by('a'), by('b'), by('a')] });
      await setMember(context.database, roomId, 'a', "role = 0, intervals = x'5b5b312c325d5d'");
      const request = { user: 'a', conversation: room, ...forEveryone };
      expect(await service.delete({ ...request, seqs: [1n, 3n] })).toMatchObject({ deleted: 1n });
      await expect(service.delete({ ...request, seqs: [2n] })).rejects.toMatchObject({
        reason: 'NOT_THE_SENDER',
      });
    });

    it('deletes all that are the own up to a seq, in more than one transaction', async () => {
      const many = DELETED_AT_ONCE + 3;
      const chat = pair('alice', 'bob');
      await appendAll(context.database, chat, numbered('a', many));
      await appendAll(context.database, chat, numbered('b', many, 'bob'));
      await appendAll(context.database, chat, numbered('c', many));
      const upToSeq = BigInt(3 * many - 1);
      const deleted = BigInt(2 * many - 1);
      const request = { ...byAlice, ...forEveryone, upToSeq };
      const answer = await service.delete(request);
      expect(answer).toMatchObject({ deleted });
      expect(await service.delete(request)).toEqual({ ...answer, deleted: 0n });
      const left = (await service.sync({ ...byBob, count: 10_000 })).messages;
      expect(left.filter(({ content }) => content === undefined)).toHaveLength(Number(deleted));
      const { messages, result } = await service.changes(byBob);
      expect(messages).toHaveLength(Number(deleted));
      expect(result.revision).toBe(answer.revision);
      expect(new Set(messages.map(({ revision }) => revision)).size).toBe(Number(result.revision));
    });

    it('goes on where a call was broken off', async () => {
      const many = 2 * DELETED_AT_ONCE + 1;
      await appendAll(context.database, pair('alice', 'bob'), numbered('a', many));
      const abort = new AbortController();
      const nowMs = () => {
        abort.abort(new Error('gone'));
        return 5;
      };
      const request = { ...byAlice, ...forEveryone };
      const all = Array.from({ length: DELETE_SEQS }, (_, n) => BigInt(n + 1));
      const broken = methodsOf({ ...context, nowMs }, callAs('', abort.signal));
      await expect(broken.delete({ ...request, seqs: all })).rejects.toThrow('gone');
      const rest = BigInt(DELETE_SEQS - DELETED_AT_ONCE);
      expect(await service.delete({ ...request, seqs: all })).toMatchObject({ deleted: rest });
      const upToSeq = BigInt(many);
      expect(await service.delete({ ...request, upToSeq })).toMatchObject({ deleted: 1n });
    });
  });

  describe('for the user', () => {
    it('hides seqs from them alone, on all their devices', async () => {
      await service.append({ ...byAlice, messages: [{}, {}, {}] });
      const before = await revisionOf('bob');
      const request = { ...byBob, ...forMe, seqs: [1n, 3n, 3n, 9n] };
      expect(await service.delete(request)).toMatchObject({ deleted: 2n, revision: 1n });
      expect(await service.delete(request)).toMatchObject({ deleted: 0n, revision: 1n });
      expect(await seqs(byBob)).toEqual([2]);
      expect(await seqs(byAlice)).toEqual([1, 2, 3]);
      expect((await service.changes(byBob)).hiddenSeqs).toEqual([1n, 3n]);
      expect((await service.changes(byAlice)).hiddenSeqs).toEqual([]);
      expect(await revisionOf('bob')).toBeGreaterThan(before);
      expect(await rowsOf(context.database, 'pending', pair('alice', 'bob').id)).toEqual([]);
    });

    it('hides the beginning, of which the end only rises', async () => {
      await service.append({ ...byAlice, messages: [{}, {}, {}, {}] });
      const request = { ...byBob, ...forMe };
      const answer = { deleted: 0n, revision: 0n };
      expect(await service.delete({ ...request, upToSeq: 2n })).toMatchObject(answer);
      const before = await revisionOf('bob');
      expect(await service.delete({ ...request, upToSeq: 1n })).toMatchObject(answer);
      expect(await seqs(byBob)).toEqual([3, 4]);
      expect(await revisionOf('bob')).toBe(before);
      expect((await service.changes(byBob)).result).toMatchObject({ floorSeq: 3n, lastSeq: 4n });
      await service.delete({ ...request, upToSeq: 2n ** 64n - 1n });
      expect(await revisionOf('bob')).toBeGreaterThan(before);
      await service.append({ ...byAlice, messages: [{}] });
      expect(await seqs(byBob)).toEqual([5]);
      expect(await seqs(byAlice)).toEqual([1, 2, 3, 4, 5]);
    });

    it('hides nothing where two users never spoke', async () => {
      const answer = { deleted: 0n, revision: 0n };
      expect(await service.delete({ ...byBob, ...forMe, upToSeq: 9n })).toMatchObject(answer);
      expect(await service.delete({ ...byBob, ...forMe, seqs: [1n] })).toMatchObject(answer);
      expect(await service.delete({ ...byBob, ...forEveryone, upToSeq: 9n })).toMatchObject(answer);
    });
  });

  it('tells nobody else of a group', async () => {
    await service.append({ conversation: room, messages: [by('a')] });
    for (const { scope } of [forMe, forEveryone]) {
      for (const value of ['room', 'nowhere']) {
        for (const which of [{ seqs: [1n] }, { upToSeq: 1n }]) {
          const request = { user: 'eve', conversation: { ...room, value }, scope, ...which };
          await expect(service.delete(request)).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
        }
      }
    }
    const nowhere = { conversation: { ...room, value: 'nowhere' }, ...forEveryone, seqs: [1n] };
    await expect(service.delete(nowhere)).rejects.toMatchObject({ reason: 'GROUP_NOT_FOUND' });
    const foreign = { user: 'a', conversation: room, ...forMe, seqs: [1n] };
    const eve = methodsOf(context, callAs('eve'));
    await expect(eve.delete(foreign)).rejects.toMatchObject({ reason: 'NOT_THE_CALLER' });
  });

  it('names every field at fault', async () => {
    const tooMany = Array.from({ length: DELETE_SEQS + 1 }, (_, n) => BigInt(n));
    const attempts: [Parameters<typeof service.delete>[0], string[]][] = [
      [{ ...byAlice }, ['scope', 'seqs']],
      [{ ...byAlice, scope: 7 as DeleteScope, seqs: [1n] }, ['scope']],
      [{ ...byAlice, ...forMe, seqs: [1n], upToSeq: 1n }, ['up_to_seq']],
      [{ ...byAlice, ...forMe, seqs: tooMany }, ['seqs']],
      [{ conversation: room, ...forMe, seqs: [1n] }, ['user']],
      [{ conversation: peer, ...forMe, seqs: [1n] }, ['user']],
      [{ ...forEveryone, seqs: [1n] }, ['peer']],
    ];
    for (const [request, fields] of attempts) {
      await expect(service.delete(request)).rejects.toMatchObject({
        code: 3,
        fields: fields.map((field) => expect.objectContaining({ field })),
      });
    }
  });
});

it('leaves nothing of what was said in the files of an embedded database, once it was swept', async () => {
  await using stack = new AsyncDisposableStack();
  const [, make] = databases.find(([name]) => name === 'sqlite')!;
  const url = await make(stack);
  const file = url.slice('sqlite:'.length);
  const secret = 'what nobody shall know';
  {
    await using opened = new AsyncDisposableStack();
    const context = await migrated(opened, url);
    const service = methodsOf(context);
    const byAlice = { user: 'alice', conversation: { case: 'peer', value: 'bob' } } as const;
    const texts = [secret, secret.repeat(1_000), 'harmless'];
    await service.append({ ...byAlice, messages: texts.map((text) => ({ content: { text } })) });
    const scope = DeleteScope.FOR_EVERYONE;
    await service.delete({ ...byAlice, scope, seqs: [1n, 2n] });
    await sweepAt(context, 0);
    // The database stays open, and the log beside it stands there.
    const all = Buffer.concat([await readFile(file), await readFile(`${file}-wal`)]);
    expect(all.includes('harmless')).toBe(true);
    expect(all.includes(secret)).toBe(false);
  }
});

/** A message of somebody's. */
function by(sender: string) {
  return { sender };
}
