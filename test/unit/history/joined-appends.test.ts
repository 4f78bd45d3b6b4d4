import { describe, expect, it } from 'vitest';
import { group, pair } from '../../../services/history/domain/conversation.ts';
import { JoinedAppends } from '../../../services/history/domain/joined-appends.ts';
import { JOINED_MESSAGES } from '../../../services/history/limits.ts';
import type {
  Batch,
  Conversation,
  NewMessage,
  Outcome,
} from '../../../services/history/store/model.ts';

/** A store that answers when it is told to. */
class SlowStore {
  readonly calls: {
    conversation: Conversation;
    sizes: number[];
    settle: PromiseWithResolvers<Outcome[]>;
  }[] = [];

  append(conversation: Conversation, batches: readonly Batch[]): Promise<Outcome[]> {
    const settle = Promise.withResolvers<Outcome[]>();
    this.calls.push({ conversation, sizes: batches.map(({ length }) => length), settle });
    return settle.promise;
  }

  /** Answers the newest call: each batch is told how many messages stood before it in the call. */
  answer(): void {
    const { sizes, settle } = this.calls.at(-1)!;
    let before = 0;
    settle.resolve(
      sizes.map((size) => {
        const placed = [{ seq: before, sentAtMs: 0n, repeated: false }];
        before += size;
        return { placed };
      }),
    );
  }
}

const batch = (length: number): Batch =>
  Array.from({ length }, (): NewMessage => {
    const empty = Buffer.alloc(0);
    return {
      ...{ id: '', sender: '', sentAtMs: 0n, contentHash: empty, body: empty },
      ...{ expiresAtMs: 0n, thread: '', kinds: 0, isQuiet: false },
    };
  });
const chat = pair('alice', 'bob');

function joined() {
  const store = new SlowStore();
  return {
    store,
    appends: new JoinedAppends((conversation, batches) => store.append(conversation, batches)),
  };
}

describe('joined appends', () => {
  it('go together while another is under way, and each gets its own outcome', async () => {
    const { store, appends } = joined();
    const first = appends.append(chat, batch(1), 'any');
    const others = [2, 3, 4].map((size) => appends.append(chat, batch(size), 'any'));
    expect(store.calls.map(({ sizes }) => sizes)).toEqual([[1]]);
    store.answer();
    await first;
    expect(store.calls.map(({ sizes }) => sizes)).toEqual([[1], [2, 3, 4]]);
    store.answer();
    const outcomes = await Promise.all(others);
    expect(outcomes.map(({ placed }) => placed?.[0]?.seq)).toEqual([0, 2, 5]);
  });

  it('keep conversations and rules apart', () => {
    const { store, appends } = joined();
    for (const conversation of [chat, group('room'), pair('alice', 'carol')]) {
      void appends.append(conversation, batch(1), 'any');
    }
    void appends.append(group('room'), batch(1), 'members');
    expect(store.calls).toHaveLength(4);
  });

  it('are bounded', async () => {
    const { store, appends } = joined();
    const half = JOINED_MESSAGES / 2;
    const all = [1, half, half, 1].map((size) => appends.append(chat, batch(size), 'any'));
    for (let call = 1; call <= 3; call++) {
      expect(store.calls).toHaveLength(call);
      store.answer();
      await all[call === 1 ? 0 : call];
    }
    expect(store.calls.map(({ sizes }) => sizes)).toEqual([[1], [half, half], [1]]);
  });

  it('fail together, and the next ones are tried', async () => {
    const { store, appends } = joined();
    const first = appends.append(chat, batch(1), 'any');
    const next = appends.append(chat, batch(2), 'any');
    store.calls[0]!.settle.reject(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    store.answer();
    expect((await next).placed).toBeDefined();
    void appends.append(chat, batch(3), 'any');
    expect(store.calls.map(({ sizes }) => sizes)).toEqual([[1], [2], [3]]);
  });
});
