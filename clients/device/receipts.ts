import type { LocalStore } from './local-store.ts';

/** Keeps the user's own marks: they rise here at once, and are sent when there is a connection. */
export class Receipts {
  readonly #store: LocalStore;
  readonly #wake: () => void;

  /** `wake` is called when there is something to send. */
  constructor(store: LocalStore, wake: () => void) {
    this.#store = store;
    this.#wake = wake;
  }

  /** The user has read all messages up to a seq; one that is below the mark changes nothing. */
  read(id: number, seq: number): void {
    if (seq <= this.#store.conversationOf(id).read_seq) return;
    this.#store.write(() => {
      const { read_seq, delivered_seq } = this.#store.conversationOf(id);
      this.#store.changeConversation(id, {
        read_seq: Math.max(read_seq, seq),
        delivered_seq: Math.max(delivered_seq, seq),
      });
    });
    this.#wake();
  }
}
