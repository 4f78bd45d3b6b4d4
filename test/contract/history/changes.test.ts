import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  ChangesRequestSchema,
  ChangesResponseSchema,
  DeleteScope,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { changes } from '../../../services/history/handlers/changes.ts';
import { FRAME_BYTES, FRAME_MESSAGES, READ_ROWS } from '../../../services/history/limits.ts';
import { forgetChanges } from '../../../services/history/store/change-log.ts';
import { callAs, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { appendAll, numbered } from './messages.ts';
import { setMember } from './raw-rows.ts';

describe.each(engines)('telling what changed: %s', (_name, open) => {
  const room = { case: 'group', value: 'room' } as const;
  const inRoom = group('room');
  const byAlice = { user: 'alice', conversation: room };
  const byBob = { user: 'bob', conversation: room };
  const forEveryone = { scope: DeleteScope.FOR_EVERYONE };
  const forMe = { scope: DeleteScope.FOR_ME };
  let context: HistoryContext;
  let service: ReturnType<typeof methodsOf>;

  beforeEach(async () => {
    context = await opened(open);
    service = methodsOf(context);
  });

  /** `count` messages of Alice, and one of Bob. */
  async function say(count: number) {
    await appendAll(context.database, inRoom, numbered('a', count));
    await service.append({ ...byBob, messages: [{}] });
  }

  function edit(seq: number, text: string) {
    const message = { case: 'seq', value: BigInt(seq) } as const;
    return service.edit({ ...byAlice, message, content: { text } });
  }

  async function changedSince(sinceRevision: bigint, user = 'alice') {
    const { messages } = await service.changes({ user, conversation: room, sinceRevision });
    return messages.map(({ seq }) => Number(seq));
  }

  it('gives messages as they stand, in the order of their last changes, each once', async () => {
    await say(5);
    await edit(3, 'x');
    await edit(1, 'x');
    await service.delete({ ...byAlice, ...forEveryone, seqs: [4n, 2n] });
    await edit(3, 'y');
    const { messages, hiddenSeqs, result } = await service.changes(byBob);
    const page = await service.sync(byBob);
    const bySeq = new Map(page.messages.map((message) => [message.seq, message]));
    expect(messages).toEqual([1n, 2n, 4n, 3n].map((seq) => bySeq.get(seq)));
    expect(messages.map(({ revision }) => revision)).toEqual([2n, 3n, 3n, 4n]);
    expect(hiddenSeqs).toEqual([]);
    const { revision, lastSeq, epoch } = page.result;
    expect(result).toMatchObject({ revision, lastSeq, epoch, floorSeq: 1n });
    const since = [0n, 1n, 2n, 3n, 4n].map((sinceRevision) => changedSince(sinceRevision));
    expect(await Promise.all(since)).toEqual([[1, 2, 4, 3], [1, 2, 4, 3], [2, 4, 3], [3], []]);
  });

  it('is empty where nothing changed, or was ever said', async () => {
    const chat = { user: 'bob', conversation: { case: 'peer', value: 'alice' } as const };
    const { frames, result } = await service.changes(chat);
    expect(frames).toHaveLength(1);
    expect(result).toMatchObject({ revision: 0n, lastSeq: 0n, floorSeq: 1n, epoch: 0n });
    await appendAll(context.database, pair('alice', 'bob'), numbered('a', 3));
    expect((await service.changes(chat)).result).toMatchObject({ revision: 0n, lastSeq: 3n });
  });

  it('gives what the user sees, and no more', async () => {
    await say(9);
    const expiring = { id: 'x', sender: 'alice', expiresAtMs: BigInt(Date.now() + 1e6) };
    await service.append({ conversation: room, messages: [expiring] });
    for (const seq of [1, 2, 3, 4, 5, 6, 7, 11]) await edit(seq, 'x');
    await service.delete({ ...byBob, ...forMe, seqs: [3n, 4n] });
    await service.delete({ ...byBob, ...forMe, upToSeq: 2n });
    await setMember(context.database, inRoom.id, 'bob', "intervals = x'5b5b312c365d2c5b31305d5d'");
    expect(await changedSince(0n, 'bob')).toEqual([5, 6, 11]);
    const { hiddenSeqs, result } = await service.changes(byBob);
    expect(hiddenSeqs).toEqual([3n, 4n]);
    expect(result).toMatchObject({ floorSeq: 3n, lastSeq: 11n });
    const later = methodsOf({ ...context, nowMs: () => Date.now() + 2e6 });
    expect((await later.changes(byBob)).messages.map(({ seq }) => seq)).toEqual([5n, 6n]);
    expect((await service.changes(byAlice)).hiddenSeqs).toEqual([]);
    const whole = await service.changes({ conversation: room });
    expect(whole.messages).toHaveLength(8);
    expect(whole.result).toMatchObject({ floorSeq: 1n, epoch: 0n });

    await setMember(context.database, inRoom.id, 'bob', "role = 0, intervals = x'5b5b312c355d5d'");
    const former = await service.changes(byBob);
    expect(former.messages.map(({ seq }) => seq)).toEqual([5n]);
    expect(former.result).toMatchObject({ lastSeq: 5n });
  });

  it('splits frames at their limits', async () => {
    await say(FRAME_MESSAGES + 1);
    await service.delete({ ...byAlice, ...forEveryone, upToSeq: BigInt(FRAME_MESSAGES + 1) });
    const { frames } = await service.changes(byBob);
    expect(frames.map(({ messages }) => messages.length)).toEqual([FRAME_MESSAGES, 1]);
    const { result } = await service.sync(byBob);
    await appendAll(context.database, inRoom, numbered('b', 12));
    for (let n = 1; n <= 12; n++) await edit(FRAME_MESSAGES + 2 + n, 'x'.repeat(100_000));
    const large = await service.changes({ ...byBob, sinceRevision: result.revision });
    expect(large.frames.map(({ messages }) => messages.length)).toEqual([2, 2, 2, 2, 2, 2]);
    for (const frame of large.frames) {
      expect(toBinary(ChangesResponseSchema, frame).length).toBeLessThan(FRAME_BYTES);
    }
  });

  it('reads a long log to its end, also where many changes share a revision', async () => {
    await say(READ_ROWS + 10);
    const some = Array.from({ length: READ_ROWS - 2 }, (_, n) => BigInt(n + 1));
    for (const seq of [1, 2, 3]) await edit(seq, 'x');
    await service.delete({ ...byBob, ...forMe, seqs: some });
    await service.delete({ ...byAlice, ...forMe, seqs: some.slice(5) });
    for (const seq of [3, 4]) await edit(seq, 'y');
    const { messages, hiddenSeqs } = await service.changes(byAlice);
    expect(messages.map(({ seq }) => seq)).toEqual([1n, 2n, 3n, 4n]);
    expect(hiddenSeqs).toEqual(some.slice(5));
    expect((await service.changes(byBob)).hiddenSeqs).toEqual(some);
    expect(await changedSince(0n, 'bob')).toEqual([]);
  });

  it('says when the log does not reach back', async () => {
    await say(3);
    for (const seq of [1, 2, 3]) await edit(seq, 'x');
    await forgetChanges(context.database, { conversationId: inRoom.id, revisions: [1, 2] });
    const resync = { code: 9, reason: 'RESYNC_REQUIRED' };
    for (const sinceRevision of [0n, 1n, 4n, 2n ** 64n - 1n]) {
      const request = { ...byBob, sinceRevision };
      await expect(service.changes(request)).rejects.toMatchObject(resync);
    }
    expect(await changedSince(2n)).toEqual([3]);
    expect(await changedSince(3n)).toEqual([]);
  });

  it('says when the log was shortened while it was read', async () => {
    await say(FRAME_MESSAGES + 5);
    await service.delete({ ...byAlice, ...forEveryone, upToSeq: BigInt(FRAME_MESSAGES + 5) });
    const stream = changes(context, create(ChangesRequestSchema, byBob), callAs());
    expect(fromBinary(ChangesResponseSchema, (await stream.next()).value).messages).toHaveLength(
      FRAME_MESSAGES,
    );
    await forgetChanges(context.database, { conversationId: inRoom.id, revisions: [1] });
    await expect(Array.fromAsync(stream)).rejects.toMatchObject({ reason: 'RESYNC_REQUIRED' });
  });

  it('goes up to the revision at which it began', async () => {
    await say(FRAME_MESSAGES + 5);
    await service.delete({ ...byAlice, ...forEveryone, upToSeq: BigInt(FRAME_MESSAGES) });
    await edit(FRAME_MESSAGES + 1, 'x');
    await edit(FRAME_MESSAGES + 2, 'x');
    const stream = changes(context, create(ChangesRequestSchema, byBob), callAs());
    const frames = [];
    for await (const bytes of stream) {
      await edit(FRAME_MESSAGES + 2, 'y');
      await edit(FRAME_MESSAGES + 3, 'y');
      frames.push(fromBinary(ChangesResponseSchema, bytes));
    }
    const { revision } = frames.at(-1)!.result!;
    expect(revision).toBe(3n);
    const seqs = frames.flatMap(({ messages }) => messages.map(({ seq }) => Number(seq)));
    expect(new Set(seqs).size).toBe(seqs.length);
    expect(seqs).toContain(FRAME_MESSAGES + 1);
    expect(seqs).not.toContain(FRAME_MESSAGES + 3);
    expect(await changedSince(revision)).toEqual([FRAME_MESSAGES + 2, FRAME_MESSAGES + 3]);
  });

  it('tells nobody else of a group', async () => {
    await say(1);
    for (const value of ['room', 'nowhere']) {
      const request = { user: 'eve', conversation: { ...room, value } };
      await expect(service.changes(request)).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
    }
    const nowhere = { conversation: { ...room, value: 'nowhere' } };
    await expect(service.changes(nowhere)).rejects.toMatchObject({ reason: 'GROUP_NOT_FOUND' });
    const eve = methodsOf(context, callAs('eve'));
    for (const request of [byAlice, { conversation: room }]) {
      await expect(eve.changes(request)).rejects.toMatchObject({ reason: 'NOT_THE_CALLER' });
    }
    await expect(
      service.changes({ conversation: { case: 'peer', value: 'x' } }),
    ).rejects.toMatchObject({ code: 3, fields: [{ field: 'user' }] });
  });
});
