import { create, toBinary } from '@bufbuild/protobuf';
import {
  CallOutcome,
  type Content,
  ContentSchema,
  type Message,
} from '../../gen/backscroll/history/v1/message_pb.ts';
import type { MessageKind } from '../../history/history-requests.ts';
import { wrongAnswer } from '../../stream-faults.ts';
import { decoded } from './decoded.ts';
import type { Value } from './sqlite.ts';

/** Names a conversation of the device's user: with a peer (perhaps the user), or a group. */
export type ConversationName =
  | { readonly peer: string; readonly group?: never }
  | { readonly group: string; readonly peer?: never };

/** Bits of `message.kinds`: what a message holds. A tombstone holds nothing. */
export const KIND: Readonly<Record<MessageKind, number>> = {
  text: 1,
  file: 2,
  call: 4,
  'missed-call': 8,
  'incoming-call': 16,
  'outgoing-call': 32,
};

/**
 * How far a message has come. One of the user's own waits in the outbox, was refused (`failed`), is
 * stored (`sent`), was delivered to a device of the peer's, or read by them; in a group it stays `sent`.
 * Anybody else's is `received`.
 */
export type MessageStatus = 'outbox' | 'failed' | 'sent' | 'delivered' | 'read' | 'received';

/** Where a message that is handed over comes from: the local database, or just now from elsewhere. */
export type MessageOrigin = 'database' | 'live';

/** A message as it stands in the table. */
export interface MessageRow {
  readonly seq: number;
  readonly id: string;
  readonly sender: string;
  readonly sent_at_ms: number;
  readonly kinds: number;
  readonly text: string;
  readonly more: Uint8Array | null;
  readonly thread: string;
  readonly edited_at_ms: number;
  readonly deleted_at_ms: number;
  readonly revision: number;
  readonly expires_at_ms: number;
}

/** Columns of `MessageRow`, in the order of `valuesOf`. */
export const MESSAGE_COLUMNS =
  'seq, id, sender, sent_at_ms, kinds, text, more, thread, edited_at_ms, deleted_at_ms, revision, expires_at_ms';

/** A message as an app is handed it. Times are milliseconds since 1970-01-01 UTC. */
export class LocalMessage {
  /** The conversation in which it stands. */
  readonly conversation: ConversationName;
  /** Its number in the conversation; undefined while it is in the outbox. */
  readonly seq: number | undefined;
  /** Its id, which its sender gave it. */
  readonly id: string;
  /** Who sent it; empty for unknown. */
  readonly sender: string;
  /** When it was sent; brought to the next safe integer where it is none. */
  readonly sentAtMs: number;
  /** What it says; empty for a tombstone, and where it holds something else alone. */
  readonly text: string;
  /** When its content was last edited; 0 for never. */
  readonly editedAtMs: number;
  /** When it was deleted for everyone; 0 for never. */
  readonly deletedAtMs: number;
  /** Revision of the conversation at which it last changed; 0 for never. */
  readonly revision: number;
  /** When it vanishes; 0 for never. */
  readonly expiresAtMs: number;
  readonly status: MessageStatus;
  readonly origin: MessageOrigin;
  /** Why the service refused it, by its reason and message; undefined unless it `failed`. */
  readonly failure: string | undefined;
  readonly #more: Uint8Array | null;
  #content: Content | undefined;

  /** For the device's own use. */
  constructor(
    conversation: ConversationName,
    row: Omit<MessageRow, 'seq'> & { readonly seq: number | undefined },
    status: MessageStatus,
    origin: MessageOrigin,
    failure?: string,
  ) {
    this.conversation = conversation;
    this.seq = row.seq;
    this.id = row.id;
    this.sender = row.sender;
    this.sentAtMs = row.sent_at_ms;
    this.text = row.text;
    this.editedAtMs = row.edited_at_ms;
    this.deletedAtMs = row.deleted_at_ms;
    this.revision = row.revision;
    this.expiresAtMs = row.expires_at_ms;
    this.status = status;
    this.origin = origin;
    this.failure = failure;
    this.#more = row.more;
  }

  /**
   * All that its sender put in it: files, a call, a place, what it answers; undefined for a tombstone.
   * Fails with DATABASE_DAMAGED where it can't be read.
   */
  get content(): Content | undefined {
    if (this.deletedAtMs !== 0) return undefined;
    this.#content ??= contentOf(this.text, this.#more);
    return this.#content;
  }

  /** As `JSON.stringify` shows it: with its content, without bytes. */
  toJSON(): Record<string, unknown> {
    const { conversation, seq, id, sender, sentAtMs, text, status, origin, content } = this;
    return {
      ...{ ...conversation, seq, id, sender, sentAtMs, text, status, origin },
      ...(this.failure !== undefined && { failure: this.failure }),
      ...(this.editedAtMs !== 0 && { editedAtMs: this.editedAtMs }),
      ...(this.deletedAtMs !== 0 && { deletedAtMs: this.deletedAtMs }),
      ...(this.expiresAtMs !== 0 && { expiresAtMs: this.expiresAtMs }),
      ...(content?.call && {
        call: { ...content.call, durationMs: Number(content.call.durationMs) },
      }),
      ...(content &&
        content.files.length > 0 && {
          files: content.files.map(({ url, name, mediaType, sizeBytes }) => ({
            ...{ url, name, mediaType, sizeBytes: Number(sizeBytes) },
          })),
        }),
      ...(content?.thread && { thread: content.thread }),
    };
  }
}

/** A message of the service as a row; `owner` is the device's user. */
export function rowOf(message: Message, owner: string): MessageRow {
  const { content } = message;
  return {
    seq: exact(message.seq),
    id: message.id,
    sender: message.sender,
    sent_at_ms: safe(message.sentAtMs),
    kinds: content ? kindsOf(content, message.sender === owner) : 0,
    text: content?.text ?? '',
    more: content ? moreOf(content) : null,
    thread: content?.thread ?? '',
    edited_at_ms: safe(message.editedAtMs),
    deleted_at_ms: safe(message.deletedAtMs),
    revision: exact(message.revision),
    expires_at_ms: safe(message.expiresAtMs),
  };
}

/** A row of the values of `MESSAGE_COLUMNS`. */
export function rowOfValues(values: readonly Value[]): MessageRow {
  return {
    seq: values[0],
    id: values[1],
    sender: values[2],
    sent_at_ms: values[3],
    kinds: values[4],
    text: values[5],
    more: values[6],
    thread: values[7],
    edited_at_ms: values[8],
    deleted_at_ms: values[9],
    revision: values[10],
    expires_at_ms: values[11],
  } as MessageRow;
}

/** What is bound for a row, in the order of `MESSAGE_COLUMNS`. */
export function valuesOf(row: MessageRow): Value[] {
  return [
    ...[row.seq, row.id, row.sender, row.sent_at_ms, row.kinds, row.text, row.more, row.thread],
    ...[row.edited_at_ms, row.deleted_at_ms, row.revision, row.expires_at_ms],
  ];
}

/** A seq, revision or mark of an answer: INTERNAL for one that is not read exactly, and that no service gives. */
export function exact(value: bigint): number {
  if (value <= Number.MAX_SAFE_INTEGER) return Number(value);
  throw wrongAnswer(`The service told ${value}, which is too high for a seq or revision`);
}

/** A whole number as a safe integer: the nearest where it is none. */
export function safe(value: bigint): number {
  const number = Number(value);
  return Math.min(Math.max(number, Number.MIN_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

function kindsOf({ text, files, call }: Content, own: boolean): number {
  let kinds = text === '' ? 0 : KIND.text;
  if (files.length > 0) kinds |= KIND.file;
  if (!call) return kinds;
  kinds |= KIND.call | (own ? KIND['outgoing-call'] : KIND['incoming-call']);
  return call.outcome === CallOutcome.MISSED && !own ? kinds | KIND['missed-call'] : kinds;
}

/** All but the text; null where there is nothing else. */
function moreOf(content: Content): Uint8Array | null {
  const { files, call, location, reply, thread, opaque, $unknown } = content;
  if (files.length === 0 && !call && !location && !reply && !thread && !opaque && !$unknown) {
    return null;
  }
  return toBinary(ContentSchema, { ...content, text: '' });
}

function contentOf(text: string, more: Uint8Array | null): Content {
  if (!more) return create(ContentSchema, { text });
  return { ...decoded(ContentSchema, more), text };
}
