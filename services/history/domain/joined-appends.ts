import { JOINED_BYTES, JOINED_MESSAGES } from '../limits.ts';
import type { Batch, Conversation, HistoryStore, Outcome } from '../store/store.ts';
import { bytesOf } from './message.ts';

interface Waiting {
  readonly batch: Batch;
  readonly settle: PromiseWithResolvers<Outcome>;
}

/**
 * Joins appends to the same conversation: while one transaction is under way, those that come wait
 * for it, and then go together in the next. In a busy conversation one commit carries many of them,
 * and they don't queue for its lock in the database.
 */
export class JoinedAppends {
  readonly #store: HistoryStore;
  readonly #waiting = new Map<string, Waiting[]>();

  constructor(store: HistoryStore) {
    this.#store = store;
  }

  /** As the store's `append`, of one batch. */
  append(conversation: Conversation, batch: Batch, sendersJoin: boolean): Promise<Outcome> {
    const key = `${conversation.id.toString('hex')} ${sendersJoin}`;
    const settle = Promise.withResolvers<Outcome>();
    const queue = this.#waiting.get(key);
    if (queue) {
      queue.push({ batch, settle });
    } else {
      const opened = [{ batch, settle }];
      this.#waiting.set(key, opened);
      void this.#work(key, opened, conversation, sendersJoin);
    }
    return settle.promise;
  }

  async #work(
    key: string,
    queue: Waiting[],
    conversation: Conversation,
    sendersJoin: boolean,
  ): Promise<void> {
    while (queue.length > 0) {
      const together = queue.splice(0, countThatJoin(queue));
      const batches = together.map(({ batch }) => batch);
      try {
        const outcomes = await this.#store.append(conversation, batches, sendersJoin);
        for (const [index, { settle }] of together.entries()) settle.resolve(outcomes[index]!);
      } catch (error) {
        for (const { settle } of together) settle.reject(error);
      }
    }
    this.#waiting.delete(key);
  }
}

/** At least one, however large it is. */
function countThatJoin(queue: readonly Waiting[]): number {
  let messages = 0;
  let bytes = 0;
  const past = queue.findIndex(({ batch }) => {
    messages += batch.length;
    bytes += bytesOf(batch);
    return messages > JOINED_MESSAGES || bytes > JOINED_BYTES;
  });
  return past < 0 ? queue.length : Math.max(past, 1);
}
