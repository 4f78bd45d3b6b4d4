import type { HistoryClient } from '../../history/history-client.ts';
import type { EditInit } from '../../history/history-requests.ts';
import { wrongAnswer } from '../../stream-faults.ts';
import { checkConversationName, checkWhole } from '../local/checks.ts';
import { type Interval, stretchBelow } from '../local/intervals.ts';
import type { LocalStore } from '../local/local-store.ts';
import { type ConversationName, exact, type MessageRow, rowOf, safe } from '../local/message.ts';
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
    if (!answer.message) throw wrongAnswer('The service does not tell how the message now stands');
    const row = rowOf(answer.message, store.owner);
    store.write(() => {
      const conversation = store.ensureConversation(name);
      const { id, revision } = conversation;
      // Another device may have hidden it meanwhile.
      const stands = store.revisionOf(id, row.seq) !== undefined;
      if (stands) store.putMessages(conversation, [row]);
      const isHeld = (known: readonly Interval[]) => stretchBelow(known, row.seq).held;
      // Or it matches a filter only now, under which it is known not to stand: a correction tells which.
      const isRight = stands || isHeld(store.known(id, '')) || !isHeld(store.knownUnderAny(id));
      const now = this.#noteRevision(id, answer.revision);
      // No other change lies between: what is held is right as of this one.
      const isNext = now === revision + 1 && now === row.revision;
      if (isNext && isRight) store.changeConversation(id, { revision: now });
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
    const hidden = deletion.scope === 'for-me' ? this.#held(name, deletion) : undefined;
    const answer = await this.#history.delete(request, { signal });
    store.write(() => {
      const { id } = store.ensureConversation(name);
      this.#noteRevision(id, answer.revision);
      if (hidden?.seqs) store.removeSeqs(id, hidden.seqs);
      if (hidden?.upToSeq) store.raiseFloor(id, hidden.upToSeq + 1);
    });
    // Only the service knows which were the user's to delete, and when it was.
    if (deletion.scope === 'for-everyone') {
      await this.#pull.inTurn(name, () => this.#pull.correct(name, signal));
    }
    return safe(answer.deleted);
  }

  /** What the service certainly has of it when it is asked: what comes meanwhile may not be meant. */
  #held(name: ConversationName, { seqs, upToSeq }: Deletion) {
    const row = this.#store.conversation(name);
    if (!row) return undefined;
    if (seqs === undefined) return { upToSeq: Math.min(upToSeq, row.last_seq) };
    return { seqs: seqs.filter((seq) => seq <= row.last_seq) };
  }

  /** There may be changes of others below it: the next time a session syncs, it asks for them. */
  #noteRevision(id: number, revision: bigint): number {
    const { told_revision } = this.#store.conversationOf(id);
    this.#store.changeConversation(id, {
      told_revision: Math.max(told_revision, exact(revision)),
    });
    return exact(revision);
  }
}
