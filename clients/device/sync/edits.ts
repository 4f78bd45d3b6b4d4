import type { HistoryClient } from '../../history/history-client.ts';
import type { EditInit } from '../../history/history-requests.ts';
import { checkConversationName, checkWhole } from '../local/checks.ts';
import { stretchBelow } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, type MessageRow, rowOf } from '../local/message.ts';
import type { Pull } from './pull.ts';

/** New content for a message. */
export interface Edit {
  readonly seq: number;
  /** What it says from now on, in place of all that it said. */
  readonly content: EditInit['content'];
  /** Edit only if the message stands at this revision, as `LocalMessage.revision` told it. */
  readonly expectedRevision?: number | undefined;
}

/** Messages to delete: some, at most 1,000, or all up to a seq. */
export type Deletion = { readonly scope: 'for-me' | 'for-everyone' } & (
  | { readonly seqs: readonly number[]; readonly upToSeq?: never }
  | { readonly upToSeq: number; readonly seqs?: never }
);

/** Changes messages in the service, and what is held of them here as the service answers. */
export class Edits {
  readonly #store: LocalStore;
  readonly #history: HistoryClient;
  readonly #pull: Pull;

  constructor(store: LocalStore, history: HistoryClient, pull: Pull) {
    this.#store = store;
    this.#history = history;
    this.#pull = pull;
  }

  /** Edits a message; resolves to it as it now stands. */
  async edit(name: ConversationName, edit: Edit, signal: AbortSignal): Promise<MessageRow> {
    const store = this.#store;
    checkConversationName(name);
    checkWhole('seq', edit.seq, 1);
    checkWhole('expectedRevision', edit.expectedRevision ?? 0, 0);
    const request = { user: store.owner, ...name, ...edit };
    const answer = await this.#history.edit(request, { signal });
    const row = rowOf(answer.message!, store.owner);
    store.write(() => {
      const { id, revision } = store.ensureConversation(name);
      if (stretchBelow(store.knownUnderAny(id), row.seq).held) store.putMessages(id, [row]);
      const now = this.#noteRevision(id, answer.revision);
      // No other change lies between: what is held is right as of this one.
      const isNext = now === revision + 1 && now === row.revision;
      if (isNext) store.changeConversation(id, { revision: now });
    });
    return row;
  }

  /** Deletes messages; resolves to how many the service deleted by this call. */
  async delete(name: ConversationName, deletion: Deletion, signal: AbortSignal): Promise<number> {
    const store = this.#store;
    checkConversationName(name);
    for (const [index, seq] of (deletion.seqs ?? []).entries())
      checkWhole(`seqs[${index}]`, seq, 1);
    if (deletion.upToSeq !== undefined) checkWhole('upToSeq', deletion.upToSeq, 1);
    const request = { user: store.owner, ...name, ...deletion };
    const answer = await this.#history.delete(request, { signal });
    store.write(() => {
      const { id } = store.ensureConversation(name);
      this.#noteRevision(id, answer.revision);
      if (deletion.scope === 'for-me') this.#hide(id, deletion);
    });
    // Only the service knows which were the user's to delete, and when it was.
    if (deletion.scope === 'for-everyone') {
      await this.#pull.inTurn(name, () => this.#pull.correct(name, signal));
    }
    return Number(answer.deleted);
  }

  #hide(id: number, { seqs, upToSeq }: Deletion): void {
    const store = this.#store;
    if (seqs) store.removeSeqs(id, seqs);
    else store.raiseFloor(id, Math.min(upToSeq, store.conversationOf(id).last_seq) + 1);
  }

  /** There may be changes of others below it: the next time a session syncs, it asks for them. */
  #noteRevision(id: number, revision: bigint): number {
    const { told_revision } = this.#store.conversationOf(id);
    this.#store.changeConversation(id, {
      told_revision: Math.max(told_revision, Number(revision)),
    });
    return Number(revision);
  }
}
