import type { HistoryClient } from '../history-client.ts';
import { nameOf } from './local-store.ts';
import type { Outbox } from './outbox.ts';

/** What another process put in is found as late as this, in milliseconds. */
const LOOK_AGAIN_MS = 2_000;

/** Sends what waits in the local database. */
export class Sender {
  readonly #history: HistoryClient;
  readonly #outbox: Outbox;
  readonly #user: string;

  constructor(user: string, history: HistoryClient, outbox: Outbox) {
    this.#user = user;
    this.#history = history;
    this.#outbox = outbox;
  }

  /** Sends all that waits; resolves to how many milliseconds to wait before looking again. */
  async round(signal: AbortSignal): Promise<number> {
    for (;;) {
      const batch = this.#outbox.next();
      if (!batch) return LOOK_AGAIN_MS;
      const { conversation, messages } = batch;
      const request = { user: this.#user, ...nameOf(conversation), messages };
      const answer = await this.#history.append(request, { signal });
      this.#outbox.sent(batch, answer.messages);
    }
  }
}
