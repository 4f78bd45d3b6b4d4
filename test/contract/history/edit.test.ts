import { create } from '@bufbuild/protobuf';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  CallKind,
  CallOutcome,
  ContentSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { MESSAGE_BYTES } from '../../../services/history/limits.ts';
import { callAs, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { rowsOf, setMember, tablesWith } from './raw-rows.ts';

describe.each(engines)('editing: %s', (_name, open) => {
  const peer = { case: 'peer', value: 'bob' } as const;
  const room = { case: 'group', value: 'room' } as const;
  const byAlice = { user: 'alice', conversation: peer };
  const chat = pair('alice', 'bob');
  let context: HistoryContext;

  beforeEach(async () => {
    context = await opened(open);
  });

  async function say(...texts: string[]) {
    const messages = texts.map((text) => ({ id: text, sentAtMs: 5n, content: { text } }));
    await methodsOf(context).append({ ...byAlice, messages });
  }

  function edit(seq: number, text: string, expectedRevision?: bigint) {
    const message = { case: 'seq', value: BigInt(seq) } as const;
    const expected = expectedRevision === undefined ? {} : { expectedRevision };
    return methodsOf(context).edit({ ...byAlice, message, content: { text }, ...expected });
  }

  async function seen(user: string) {
    const conversation = { case: 'peer', value: user === 'alice' ? 'bob' : 'alice' } as const;
    return (await methodsOf(context).sync({ user, conversation })).messages;
  }

  it('gives a message new content, and keeps the rest', async () => {
    await say('first', 'second');
    const expiring = { id: 'x', content: { text: 'x' }, expiresAtMs: BigInt(Date.now() + 1e9) };
    await methodsOf(context).append({ ...byAlice, messages: [expiring] });
    const beganMs = Date.now();
    const { message, revision } = await edit(1, 'erste');
    expect(revision).toBe(1n);
    expect(message).toMatchObject({
      ...{ seq: 1n, id: 'first', sender: 'alice', sentAtMs: 5n, revision: 1n, deletedAtMs: 0n },
      content: { text: 'erste' },
    });
    expect(Number(message?.editedAtMs)).toBeGreaterThanOrEqual(beganMs);
    const { message: later } = await edit(3, 'y');
    expect(later).toMatchObject({ revision: 2n, expiresAtMs: expiring.expiresAtMs });
    for (const user of ['alice', 'bob']) {
      const [third, second, first] = await seen(user);
      expect([first, third]).toEqual([message, later]);
      expect(second).toMatchObject({ revision: 0n, editedAtMs: 0n, content: { text: 'second' } });
    }
  });

  it('makes a repeat of what its sender sends again, be it as it was first said or as it is now', async () => {
    await say('id');
    await edit(1, 'now');
    const message = (text: string) => ({ id: 'id', sentAtMs: 5n, content: { text } });
    for (const text of ['id', 'now']) {
      const again = await methodsOf(context).append({ ...byAlice, messages: [message(text)] });
      expect(again.messages).toMatchObject([{ seq: 1n, repeated: true }]);
    }
    const byBob = { ...message('now'), sender: 'bob' };
    const stolen = methodsOf(context).append({ ...byAlice, messages: [byBob] });
    await expect(stolen).rejects.toMatchObject({ reason: 'MESSAGE_ID_CONFLICT' });
    expect(await seen('bob')).toMatchObject([{ content: { text: 'now' } }]);
  });

  it('finds a message by its id', async () => {
    await say('first', 'second');
    const message = { case: 'messageId', value: 'second' } as const;
    const answer = await methodsOf(context).edit({ ...byAlice, message });
    expect(answer.message).toMatchObject({ seq: 2n, content: create(ContentSchema) });
    const none = { case: 'messageId', value: 'third' } as const;
    await expect(methodsOf(context).edit({ ...byAlice, message: none })).rejects.toMatchObject({
      reason: 'MESSAGE_NOT_FOUND',
    });
  });

  it('changes nothing more when it is repeated, also where a revision was expected', async () => {
    await say('first');
    const answer = await edit(1, 'erste', 0n);
    expect(await edit(1, 'erste', 0n)).toEqual(answer);
    expect(await edit(1, 'erste')).toEqual(answer);
    const mismatch = { code: 10, reason: 'REVISION_MISMATCH', metadata: { revision: '1' } };
    await expect(edit(1, 'première', 0n)).rejects.toMatchObject(mismatch);
    expect(await edit(1, 'première', 1n)).toMatchObject({ revision: 2n });
    expect(await edit(1, 'première', 1n)).toMatchObject({ revision: 2n });
    expect((await methodsOf(context).changes(byAlice)).messages).toHaveLength(1);
  });

  it('lets the message be sent again as it first was', async () => {
    await say('first');
    const edited = await edit(1, 'erste');
    const first = { id: 'first', sentAtMs: 5n, content: { text: 'first' } };
    const again = await methodsOf(context).append({ ...byAlice, messages: [first] });
    expect(again.messages).toMatchObject([{ seq: 1n, repeated: true }]);
    expect(await seen('bob')).toEqual([edited.message]);
  });

  it('keeps any text', async () => {
    await say('first');
    for (const text of ['', '\0', 'a\u2028b', '\u202eעולם', '\u{1f468}\u200d\u{1f469}', '\ufeff']) {
      const { message } = await edit(1, text);
      expect(message?.content?.text).toBe(text);
      expect(await seen('bob')).toEqual([message]);
    }
  });

  it('leaves nothing of the old content', async () => {
    const secret = 'the old secret';
    await methodsOf(context).append({
      ...byAlice,
      messages: [{ id: 'a', content: { text: secret, thread: secret } }],
    });
    await edit(1, 'harmless');
    expect(await tablesWith(context.database, secret)).toEqual([]);
  });

  it('moves a message between threads, kinds and what counts as unread', async () => {
    const call = { kind: CallKind.VOICE, outcome: CallOutcome.ANSWERED };
    const contents = [
      { text: 'a', thread: 'one' },
      { text: 'a', thread: 'two' },
      { thread: 'two', call },
      { thread: 'two', call: { ...call, outcome: CallOutcome.MISSED } },
      { call },
      { text: 'a' },
    ];
    const sent = { user: 'alice', messages: [{ id: 'a', sender: 'alice' }] };
    await methodsOf(context).append({ ...sent, conversation: room });
    for (const [n, content] of contents.entries()) {
      const message = { case: 'seq', value: 1n } as const;
      await methodsOf(context).edit({ user: 'alice', conversation: room, message, content });
      const asSent = { ...room, value: `as sent: ${n}` };
      await methodsOf(context).append({
        conversation: asSent,
        messages: [{ ...sent.messages[0], content }],
      });
      for (const table of ['thread', 'quiet']) {
        const [edited, expected] = await Promise.all(
          [room, asSent].map(({ value }) => rowsOf(context.database, table, group(value).id)),
        );
        expect(edited!.map(([, ...rest]) => rest)).toEqual(expected!.map(([, ...rest]) => rest));
      }
    }
  });

  it('refuses what is not there, or not for the user', async () => {
    await say('first', 'second');
    await methodsOf(context).delete({ ...byAlice, scope: 1, seqs: [1n] });
    const soon = { id: 'soon', expiresAtMs: BigInt(Date.now() + 1e6) };
    await methodsOf(context).append({ ...byAlice, messages: [soon] });
    const later = { ...context, nowMs: () => Date.now() + 2e6 };
    const notFound = { code: 5, reason: 'MESSAGE_NOT_FOUND' };
    for (const seq of [0n, 1n, 4n, 2n ** 64n - 1n]) {
      const message = { case: 'seq', value: seq } as const;
      await expect(methodsOf(context).edit({ ...byAlice, message })).rejects.toMatchObject(
        notFound,
      );
    }
    const expired = { case: 'seq', value: 3n } as const;
    await expect(methodsOf(later).edit({ ...byAlice, message: expired })).rejects.toMatchObject(
      notFound,
    );
    const nowhere = { user: 'alice', conversation: { ...peer, value: 'nobody' } };
    await expect(methodsOf(context).edit({ ...nowhere, message: expired })).rejects.toMatchObject(
      notFound,
    );
  });

  it("refuses others' messages and deleted ones", async () => {
    await say('first', 'second');
    await methodsOf(context).delete({ ...byAlice, scope: 2, seqs: [2n] });
    const byBob = { user: 'bob', conversation: { ...peer, value: 'alice' } };
    const first = { case: 'seq', value: 1n } as const;
    await expect(methodsOf(context).edit({ ...byBob, message: first })).rejects.toMatchObject({
      ...{ code: 7, reason: 'NOT_THE_SENDER' },
    });
    await expect(edit(2, 'x')).rejects.toMatchObject({ code: 9, reason: 'MESSAGE_DELETED' });
  });

  it('is for members, and for the user alone', async () => {
    await methodsOf(context).append({ user: 'alice', conversation: room, messages: [{}] });
    const message = { case: 'seq', value: 1n } as const;
    const request = { user: 'alice', conversation: room, message, content: { text: 'x' } };
    const eve = methodsOf(context, callAs('eve'));
    await expect(eve.edit(request)).rejects.toMatchObject({ reason: 'NOT_THE_CALLER' });
    for (const value of ['room', 'nowhere']) {
      const foreign = { ...request, user: 'eve', conversation: { ...room, value } };
      await expect(eve.edit(foreign)).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
    }
    const alice = methodsOf(context, callAs('alice'));
    expect(await alice.edit(request)).toMatchObject({ revision: 1n });
    await setMember(context.database, group('room').id, 'alice', 'role = 0');
    await expect(alice.edit(request)).rejects.toMatchObject({ reason: 'NOT_A_MEMBER' });
  });

  it('names every field at fault', async () => {
    const attempts = [
      [{ ...byAlice }, ['seq']],
      [{ ...byAlice, message: { case: 'messageId', value: '' } }, ['seq']],
      [{ ...byAlice, message: { case: 'messageId', value: 'x'.repeat(129) } }, ['message_id']],
      [{ conversation: room, message: { case: 'seq', value: 1n } }, ['user']],
      [{ message: { case: 'seq', value: 1n } }, ['peer', 'user']],
      [
        { ...byAlice, message: { case: 'seq', value: 1n }, content: { thread: 'x'.repeat(129) } },
        ['content.thread'],
      ],
    ] as const;
    for (const [request, fields] of attempts) {
      await expect(methodsOf(context).edit(request)).rejects.toMatchObject({
        code: 3,
        fields: fields.map((field) => expect.objectContaining({ field })),
      });
    }
  });

  it('takes a message of the largest size, and none that is larger', async () => {
    await say('first');
    await edit(1, 'x'.repeat(200_000));
    const bytes = async () => {
      const [row] = await rowsOf(context.database, 'message', chat.id);
      return Math.max(...row!.map((value) => (value instanceof Uint8Array ? value.length : 0)));
    };
    const longest = 200_000 + MESSAGE_BYTES - (await bytes());
    await edit(1, 'y'.repeat(longest));
    expect(await bytes()).toBe(MESSAGE_BYTES);
    await expect(edit(1, 'z'.repeat(longest + 1))).rejects.toMatchObject({
      ...{ code: 3, reason: 'TOO_LARGE', fields: [{ field: 'content' }] },
    });
  });
});
