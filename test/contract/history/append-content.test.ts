import { beforeEach, describe, expect, it } from 'vitest';
import { Order } from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { pair } from '../../../services/history/domain/conversation.ts';
import { MESSAGE_BYTES } from '../../../services/history/limits.ts';
import { callAs, importRuns, methodsOf } from './calls.ts';
import { engines, opened } from './engines.ts';
import { encoded, readAll } from './messages.ts';

describe.each(engines)('what a message may be: %s', (_name, open) => {
  const self = 'a \u{1f600}\u2028\u202e';
  const toSelf = { user: self, conversation: { case: 'peer', value: self } } as const;
  const invalid = (field: string) => ({ code: 3, fields: [expect.objectContaining({ field })] });
  let context: HistoryContext;
  let alone: ReturnType<typeof methodsOf>;

  beforeEach(async () => {
    context = await opened(open);
    alone = methodsOf(context, callAs(self));
  });

  const read = async () => (await alone.sync({ ...toSelf, order: Order.OLDEST_FIRST })).messages;

  /** A message to oneself that weighs so many bytes as it is stored. */
  function weighing(bytes: number) {
    const message = (text: string) => ({
      id: 'large',
      sender: self,
      sentAtMs: -1n,
      content: { text },
    });
    const sizeOf = (text: string) => encoded(message(text))[0]!.body.length;
    // Longer texts have longer lengths before them: it is taken off where it came in.
    const about = 'x'.repeat(bytes - 100);
    return message('x'.repeat(about.length + bytes - sizeOf(about)));
  }

  it('weighs at most 256 KiB', async () => {
    await expect(
      alone.append({ ...toSelf, messages: [weighing(MESSAGE_BYTES + 1)] }),
    ).rejects.toMatchObject({ ...invalid('messages[0]'), reason: 'TOO_LARGE' });
    await alone.append({ ...toSelf, messages: [weighing(MESSAGE_BYTES)] });
    const [stored] = await readAll(context.database, pair(self, self));
    expect(stored?.body.length).toBe(MESSAGE_BYTES);
    expect(await read()).toMatchObject([{ ...weighing(MESSAGE_BYTES), seq: 1n }]);
  });

  it('may be empty, and comes with all that was given', async () => {
    const messages = [
      {},
      { content: {} },
      { content: { text: '' } },
      {
        id: '\0',
        sentAtMs: -(2n ** 63n),
        content: { text: '\0\u2028\u{1f468}\u200d\u{1f469}\u202e' },
      },
      { id: ' ', sentAtMs: 2n ** 63n - 1n, expiresAtMs: 2n ** 63n - 1n },
    ];
    const answer = await alone.append({ ...toSelf, messages });
    expect(await read()).toMatchObject(
      messages.map((message, index) => {
        const { seq, id, sentAtMs } = answer.messages[index]!;
        expect([seq, Math.abs(Number(sentAtMs))]).toEqual([BigInt(index + 1), expect.anything()]);
        return { expiresAtMs: 0n, content: {}, ...message, id, sentAtMs, seq, sender: self };
      }),
    );
  });

  it('is the same one whatever expiry comes with its repeat', async () => {
    const message = { id: 'x', content: { text: 'x' } };
    await alone.append({ ...toSelf, messages: [{ ...message, expiresAtMs: 2n ** 50n }] });
    const again = await alone.append({ ...toSelf, messages: [message] });
    expect(again.messages).toMatchObject([{ seq: 1n, repeated: true }]);
    expect(await read()).toMatchObject([{ expiresAtMs: 2n ** 50n }]);
  });

  it('may expire, but not have expired', async () => {
    const nowMs = BigInt(context.nowMs());
    for (const expiresAtMs of [-1n, 1n, nowMs]) {
      const messages = [{}, { expiresAtMs }];
      await expect(alone.append({ ...toSelf, messages })).rejects.toMatchObject({
        ...invalid('messages[1].expires_at_ms'),
        reason: 'INVALID_FIELD',
      });
    }
    const runs = [{ ...toSelf, messages: [{ id: '1', expiresAtMs: -1n }] }];
    await expect(importRuns(context, runs)).rejects.toMatchObject(
      invalid('runs[0].messages[0].expires_at_ms'),
    );
  });
});
