import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import { group } from '../../../services/history/domain/conversation.ts';
import { encodeMessages } from '../../../services/history/domain/message.ts';
import { append } from '../../../services/history/store/append.ts';
import type { Database } from '../../../services/history/store/database.ts';
import type {
  Conversation,
  NewMessage,
  Placed,
  Rules,
  StoredMessage,
} from '../../../services/history/store/model.ts';
import { read } from '../../../services/history/store/read.ts';
import { readStanding } from '../../../services/history/store/standing.ts';
import { never } from './engines.ts';

/** Messages as handlers give them to a store. */
export function encoded(...messages: MessageInitShape<typeof MessageSchema>[]): NewMessage[] {
  return encodedFor(group('any'), ...messages);
}

/** As `encoded`: in a pair it makes a difference who called. */
export function encodedFor(
  conversation: Conversation,
  ...messages: MessageInitShape<typeof MessageSchema>[]
): NewMessage[] {
  return encodeMessages(
    messages.map((message) => create(MessageSchema, message)),
    conversation,
  );
}

/** `count` messages with ids that begin with `prefix`, and texts that tell them apart. */
export function numbered(prefix: string, count: number, sender = 'alice'): NewMessage[] {
  return encoded(
    ...Array.from({ length: count }, (_, n) => ({
      id: `${prefix}${n}`,
      sender,
      sentAtMs: BigInt(n),
      content: { text: `${prefix} says ${n}` },
    })),
  );
}

/** Rules of an append, by a service where nothing else is said. */
export function rulesOf(given: Partial<Rules> = {}): Rules {
  return { senders: 'join', nowMs: Date.now, ...given };
}

/** Appends one batch that is not refused, by a service where nothing else is said. */
export async function appendAll(
  database: Database,
  conversation: Conversation,
  batch: readonly NewMessage[],
  rules?: Partial<Rules>,
): Promise<readonly Placed[]> {
  const [outcome] = await append(database, conversation, [batch], rulesOf(rules));
  if (!outcome?.placed) throw new Error(`refused: ${outcome?.refused.why}`);
  return outcome.placed;
}

/** Imports one batch that is not refused, by a service; nothing is too old. */
export function importAll(
  database: Database,
  conversation: Conversation,
  batch: readonly NewMessage[],
): Promise<readonly Placed[]> {
  return appendAll(database, conversation, batch, { imported: { retentionMs: 0 } });
}

/** All that a conversation holds, oldest first. */
export async function readAll(
  database: Database,
  conversation: Conversation,
): Promise<StoredMessage[]> {
  const standing = await readStanding(database, conversation.id, [], never);
  const messages: StoredMessage[] = [];
  for (;;) {
    const range = {
      fromSeq: (messages.at(-1)?.seq ?? 0) + 1,
      toSeq: standing?.conversation.lastSeq ?? 0,
      newestFirst: false,
    };
    const piece = await read(database, conversation.id, range, 1_000_000, never);
    if (piece.length === 0) return messages;
    messages.push(...piece);
  }
}

/** What a stored message says, without the service's own fields. */
export function decoded(message: StoredMessage): Message {
  return fromBinary(MessageSchema, message.body);
}

/** Its text. */
export function textOf(message: StoredMessage): string | undefined {
  return decoded(message).content?.text;
}
