import type { Marks } from '../../gen/backscroll/history/v1/inbox_pb.ts';
import type { ConversationRow } from '../local/conversation-row.ts';
import type { LocalStore } from '../local/local-store.ts';
import { exact } from '../local/message.ts';

/** A mark of the user's that the service does not have yet. */
export interface Untold {
  readonly conversation: ConversationRow;
  readonly mark: 'read' | 'delivered';
  readonly seq: number;
}

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

  /**
   * Marks to be sent, the highest of each conversation alone. Delivered is, in a pair (in a group nobody
   * is told), all up to the newest message as soon as that is held; what is read was delivered as well.
   */
  untold(): Untold[] {
    const rows = this.#store.sqlite.all<ConversationRow & { readonly newest_held: number }>(
      `SELECT *, kind = 1 AND EXISTS (
         SELECT 1 FROM known WHERE conversation_id = conversation.id AND filter = ''
           AND from_seq <= last_seq AND to_seq >= last_seq
       ) AS newest_held
       FROM conversation
       WHERE read_seq > told_read_seq OR (last_seq > told_delivered_seq AND newest_held)`,
    );
    return rows.flatMap(({ newest_held, ...conversation }): Untold[] => {
      const { read_seq, told_read_seq, last_seq, told_delivered_seq } = conversation;
      const read = read_seq > told_read_seq;
      const delivered = newest_held === 1 && last_seq > Math.max(told_delivered_seq, read_seq);
      return [
        ...(read ? [{ conversation, mark: 'read', seq: read_seq } as const] : []),
        ...(delivered ? [{ conversation, mark: 'delivered', seq: last_seq } as const] : []),
      ];
    });
  }

  /**
   * Notes that the service has a mark, and how the marks now stand; undefined where it refused it for good.
   * It has none beyond the newest message, and none for somebody who may not see that.
   */
  told({ conversation, mark, seq }: Untold, marks: Marks | undefined): void {
    this.#store.write(() => {
      const row = this.#store.conversationOf(conversation.id);
      const known = Math.min(seq, row.last_seq);
      const readSeq = marks ? exact(marks.readSeq) : known;
      const deliveredSeq = marks ? exact(marks.deliveredSeq) : known;
      const delivered = mark === 'read' ? deliveredSeq : seq;
      const change = { told_delivered_seq: Math.max(row.told_delivered_seq, delivered) };
      if (mark === 'delivered') return this.#store.changeConversation(row.id, change);
      // What came since the service was asked counts as read, as it was meant; what was read since stays.
      const meant = row.last_seq > conversation.last_seq ? Math.max(readSeq, known) : readSeq;
      const isLatest = row.read_seq === seq;
      this.#store.changeConversation(row.id, {
        ...change,
        told_read_seq: readSeq,
        ...(isLatest && { read_seq: meant, delivered_seq: Math.max(deliveredSeq, meant) }),
      });
    });
  }
}
