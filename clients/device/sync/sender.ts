import { status } from '@grpc/grpc-js';
import { BackscrollError } from '../../errors.ts';
import type {
  AppendedMessage,
  AppendResponse,
} from '../../gen/backscroll/history/v1/history_pb.ts';
import type { HistoryClient } from '../../history/history-client.ts';
import { wrongAnswer } from '../../stream-faults.ts';
import { nameOf } from '../local/conversation-row.ts';
import type { LocalStore } from '../local/local-store.ts';
import type { ConversationName } from '../local/message.ts';
import { ALL } from '../local/pick.ts';
import {
  BATCH_MESSAGES,
  type Batch,
  type OnFailed,
  type Outbox,
  type WaitingIn,
} from './outbox.ts';
import type { Pull } from './pull.ts';
import type { Receipts, Untold } from './receipts.ts';

/** What a sender works with. */
export interface SenderParts {
  readonly store: LocalStore;
  readonly history: HistoryClient;
  readonly pull: Pull;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  /** Told each message that the service has now. */
  readonly onSent: (id: string, seq: number, conversation: ConversationName) => void;
  /** Told each message that was refused for good. */
  readonly onFailed: OnFailed;
}

/** What another process put in, and what was fetched, is found as late as this, in milliseconds. */
const LOOK_AGAIN_MS = 2_000;

/** Sends what waits: messages, in their order in each conversation, and marks. */
export class Sender {
  readonly #parts: SenderParts;
  /** Messages of the next call: fewer, as long as it is not known which of them is refused. */
  #most = BATCH_MESSAGES;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /**
   * Sends all that waits; resolves to how many milliseconds there is time until the next round. Fails
   * where the service can't be reached; what it has a fault with keeps nothing else waiting.
   */
  async round(signal: AbortSignal): Promise<number> {
    const { outbox, receipts } = this.#parts;
    const faults: unknown[] = [];
    for (;;) {
      const work = [
        ...outbox.waiting().map((waiting) => () => this.#sendAll(waiting, signal)),
        ...receipts.untold().map((untold) => () => this.#tell(untold, signal)),
      ];
      for (const send of work) await send().catch((error) => faults.push(faultOf(error)));
      if (faults.length > 0) throw faults[0];
      if (work.length === 0) return LOOK_AGAIN_MS;
    }
  }

  async #sendAll(waiting: WaitingIn, signal: AbortSignal): Promise<void> {
    const { store, history, outbox, onFailed } = this.#parts;
    for (;;) {
      const batch = outbox.next(waiting, this.#most, onFailed);
      if (!batch) return;
      const { conversation, entries } = batch;
      const messages = entries.map(({ message }) => message);
      const request = { user: store.owner, ...nameOf(conversation), messages };
      const answer = await refusable(history.append(request, { signal }));
      if (answer instanceof BackscrollError) this.#refused(batch, answer);
      else await this.#stored(batch, placesOf(answer, entries.length), signal);
    }
  }

  async #stored(
    batch: Batch,
    places: readonly AppendedMessage[],
    signal: AbortSignal,
  ): Promise<void> {
    const { outbox, pull, onSent } = this.#parts;
    const name = nameOf(batch.conversation);
    this.#most = Math.min(this.#most * 2, BATCH_MESSAGES);
    for (const hole of outbox.doubtful(batch, places)) {
      const count = hole.to - hole.from + 1;
      const wanted = { hole, count, newestFirst: true, pick: ALL, filter: undefined };
      const fetching = pull.inTurn(name, () => pull.fetch(name, wanted, signal));
      // What may not be read any more is in its place all the same.
      await refusable(fetching);
    }
    for (const { id, seq } of outbox.move(batch, places)) onSent(id, seq, name);
  }

  /**
   * Nothing of the batch was stored. The reason is that of the first message at fault: the others are told
   * theirs when they are sent again. Where it is not told which message that is, fewer are tried.
   */
  #refused({ conversation, entries }: Batch, error: BackscrollError): void {
    const { outbox, onFailed } = this.#parts;
    const named = /^messages\[(\d+)\]/.exec(error.fields[0]?.field ?? '')?.[1];
    const index = entries.length === 1 ? 0 : named;
    if (index === undefined) {
      this.#most = Math.floor(entries.length / 2);
      return;
    }
    const { id, message } = entries[Number(index)]!;
    const failure = ofMessage(error, `messages[${index}]`);
    if (outbox.refuse(id, failure)) onFailed(message.id, failure, nameOf(conversation));
  }

  async #tell(untold: Untold, signal: AbortSignal): Promise<void> {
    const { store, history, receipts } = this.#parts;
    const { conversation, mark, seq } = untold;
    const request = { user: store.owner, ...nameOf(conversation), seq };
    const call =
      mark === 'read'
        ? history.markRead(request, { signal })
        : history.markDelivered(request, { signal });
    const marks = await refusable(call);
    receipts.told(untold, marks instanceof BackscrollError ? undefined : marks);
  }
}

/** Where messages are stored, by their order. */
function placesOf({ messages }: AppendResponse, count: number): readonly AppendedMessage[] {
  const isSeq = ({ seq }: AppendedMessage) => seq > 0n && seq <= Number.MAX_SAFE_INTEGER;
  if (messages.length === count && messages.every(isSeq)) return messages;
  throw wrongAnswer('The service does not tell where it stored each message');
}

/** What an error of a batch says of one of its messages. */
function ofMessage(error: BackscrollError, prefix: string): BackscrollError {
  const fields = error.fields
    .filter(({ field }) => field.startsWith(prefix))
    .map(({ field, description }) => ({
      field: `message${field.slice(prefix.length)}`,
      description,
    }));
  if (fields.length === 0) return error;
  const text = fields.map(({ field, description }) => `${field}: ${description}`).join('; ');
  const { code, reason, metadata } = error;
  return new BackscrollError(text, { code, reason, fields, metadata, cause: error });
}

const REFUSALS: readonly number[] = [
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.FAILED_PRECONDITION,
];

/** What a call resolves to, or the error with which the service would refuse it every time. */
async function refusable<T>(call: Promise<T>): Promise<T | BackscrollError> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof BackscrollError && REFUSALS.includes(error.code)) return error;
    throw error;
  }
}

/** A fault of the service with what it was sent; throws what anything else would fail with as well. */
function faultOf(error: unknown): unknown {
  if (error instanceof BackscrollError && error.code === status.INTERNAL) return error;
  throw error;
}
