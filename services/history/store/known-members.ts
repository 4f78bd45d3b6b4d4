import type { Conversation } from './store.ts';

/**
 * Remembers who was made a member lately, so that a group's regular senders are not inserted again
 * with each message. It forgets the longest known first; forgetting only costs an insert without effect.
 */
export class KnownMembers {
  readonly #capacity: number;
  readonly #keys = new Set<string>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Those of `users` that are not remembered, each once. */
  unknown(conversation: Conversation, users: readonly string[]): string[] {
    return [...new Set(users)].filter((user) => !this.#keys.has(keyOf(conversation, user)));
  }

  /** Remembers `users`; only for what was committed. */
  add(conversation: Conversation, users: readonly string[]): void {
    for (const user of users) this.#keys.add(keyOf(conversation, user));
    for (const key of this.#keys) {
      if (this.#keys.size <= this.#capacity) break;
      this.#keys.delete(key);
    }
  }
}

function keyOf(conversation: Conversation, user: string): string {
  return conversation.id.toString('latin1') + user;
}
