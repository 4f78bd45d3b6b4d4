import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { methodsOf } from './calls.ts';

/** A user's device that keeps a copy of a conversation by `Sync` and `Changes` alone. */
export class Device {
  readonly #methods: ReturnType<typeof methodsOf>;
  readonly #request: { user: string; conversation: { case: 'group'; value: string } };
  readonly #held = new Map<bigint, Message>();
  #revision: bigint | undefined;
  #lastSeq = 0n;

  constructor(methods: ReturnType<typeof methodsOf>, user: string, groupName: string) {
    this.#methods = methods;
    this.#request = { user, conversation: { case: 'group', value: groupName } };
  }

  /** What it holds, oldest first. */
  get messages(): Message[] {
    return [...this.#held.values()].sort((a, b) => Number(a.seq - b.seq));
  }

  /** Corrects what it holds, and then fetches what is new. */
  async refresh(): Promise<void> {
    if (this.#revision !== undefined) await this.#correct(this.#revision);
    const anchor = { case: 'afterSeq', value: this.#lastSeq } as const;
    const page = await this.#methods.sync({ ...this.#request, anchor, count: 1_000_000 });
    for (const message of page.messages) this.#held.set(message.seq, message);
    this.#lastSeq = page.result.lastSeq;
    // What changed between the two calls is told by the next one.
    this.#revision ??= page.result.revision;
  }

  async #correct(sinceRevision: bigint): Promise<void> {
    const changed = await this.#methods.changes({ ...this.#request, sinceRevision });
    for (const message of changed.messages) {
      if (message.seq <= this.#lastSeq) this.#held.set(message.seq, message);
    }
    for (const seq of changed.hiddenSeqs) this.#held.delete(seq);
    for (const seq of this.#held.keys()) {
      if (seq < changed.result.floorSeq) this.#held.delete(seq);
    }
    this.#revision = changed.result.revision;
  }
}
