import { JOINED_BYTES, JOINED_MESSAGES } from '../limits.ts';
import { type Batch, type Conversation, keyOf, type Outcome, type Rules } from '../store/model.ts';
import { bytesOf } from './message.ts';

/** The store's `append` on one database, of messages that are not imported. */
export type Append = (
  conversation: Conversation,
  batches: readonly Batch[],
  senders: Rules['senders'],
) => Promise<Outcome[]>;

interface Waiting {
  readonly batch: Batch;
  readonly outcome: PromiseWithResolvers<Outcome>;
}

/**
 * Joins appends to the same conversation under the same rules: while one transaction is under way,
 * those that come wait for it, and then go together in the next. In a busy conversation one commit
 * carries many of them, and they don't queue for its lock in the database.
 */
export class JoinedAppends {
  readonly #append: Append;
  readonly #waiting = new Map<string, Waiting[]>();

  /** `append` stores batches of one conversation together. */
  constructor(append: Append) {
    this.#append = append;
  }

  /** As the `append` that it was given, of one batch. */
  append(conversation: Conversation, batch: Batch, senders: Rules['senders']): Promise<Outcome> {
    const key = `${keyOf(conversation.id)} ${senders}`;
    const outcome = Promise.withResolvers<Outcome>();
    const queue = this.#waiting.get(key);
    if (queue) {
      queue.push({ batch, outcome });
    } else {
      const opened = [{ batch, outcome }];
      this.#waiting.set(key, opened);
      void this.#work(key, opened, conversation, senders);
    }
    return outcome.promise;
  }

  async #work(
    key: string,
    queue: Waiting[],
    conversation: Conversation,
    senders: Rules['senders'],
  ): Promise<void> {
    while (queue.length > 0) {
      const together = queue.splice(0, countThatJoin(queue));
      const batches = together.map(({ batch }) => batch);
      try {
        const outcomes = await this.#append(conversation, batches, senders);
        for (const [index, { outcome }] of together.entries()) outcome.resolve(outcomes[index]!);
      } catch (error) {
        for (const { outcome } of together) outcome.reject(error);
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
