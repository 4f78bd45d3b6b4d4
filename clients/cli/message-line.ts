import { create, fromJson, type JsonObject, type JsonValue, toJson } from '@bufbuild/protobuf';
import { type Message, MessageSchema } from '../gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../history/conversation.ts';

/** A message, and the conversation in which it stands or is to stand. */
export interface PlacedMessage {
  readonly conversation: Conversation;
  readonly message: Message;
}

/**
 * One line of an export: the message in the proto's JSON form, and before it the names of its
 * conversation (`user` and `peer`, or `group`). `import` takes it back.
 */
export function formatLine({ conversation, message }: PlacedMessage): string {
  const { user, peer, group } = conversation;
  const place = group === undefined ? { user, peer } : { group };
  return JSON.stringify({ ...place, ...(toJson(MessageSchema, message) as JsonObject) });
}

/**
 * Reads one line of an import: a line as `formatLine` makes it, or a line of a chat archive
 * (`{conversation, kind: "group"|"direct", sender, sent_at_ms, text, id}`, where the conversation of a
 * direct one is `A|B`). Throws an `Error` that says what is wrong with it.
 */
export function parseLine(text: string): PlacedMessage {
  const line = parseObject(text);
  const placed = 'conversation' in line ? fromArchive(line) : fromExport(line);
  if (!placed.message.id) throw new Error('"id" is missing');
  return placed;
}

function parseObject(text: string): JsonObject {
  let value: JsonValue;
  try {
    value = JSON.parse(text) as JsonValue;
  } catch {
    throw new Error('not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('not a JSON object');
  }
  return value;
}

function fromExport({ user, peer, group, ...fields }: JsonObject): PlacedMessage {
  const conversation = pairOrGroup(user, peer, group);
  return { conversation, message: fromJson(MessageSchema, fields) };
}

function pairOrGroup(
  user: JsonValue | undefined,
  peer: JsonValue | undefined,
  group: JsonValue | undefined,
): Conversation {
  if (group !== undefined && peer === undefined) return { group: string(group, 'group') };
  if (group === undefined && peer !== undefined) {
    return { user: string(user, 'user'), peer: string(peer, 'peer') };
  }
  throw new Error('names no conversation: "group", or "user" and "peer", or "conversation"');
}

function fromArchive(line: JsonObject): PlacedMessage {
  const name = string(line.conversation, 'conversation');
  const sentAtMs = line.sent_at_ms;
  if (!Number.isSafeInteger(sentAtMs)) throw new Error('"sent_at_ms" is not an integer');
  const message = create(MessageSchema, {
    id: string(line.id, 'id'),
    sender: string(line.sender, 'sender'),
    sentAtMs: BigInt(sentAtMs as number),
    content: { text: string(line.text, 'text') },
  });
  if (line.kind === 'group') return { conversation: { group: name }, message };
  if (line.kind !== 'direct') throw new Error('"kind" is neither "group" nor "direct"');
  const [user, peer, ...more] = name.split('|');
  if (!user || !peer || more.length > 0) {
    throw new Error('"conversation" of a direct message is not "A|B"');
  }
  return { conversation: { user, peer }, message };
}

function string(value: JsonValue | undefined, field: string): string {
  if (typeof value !== 'string') throw new Error(`"${field}" is not a string`);
  if (!value.isWellFormed()) {
    throw new Error(`"${field}" holds half a surrogate pair, which is no Unicode text`);
  }
  return value;
}
