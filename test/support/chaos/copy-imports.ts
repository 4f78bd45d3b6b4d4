import { create } from '@bufbuild/protobuf';
import { ContentSchema } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { ImportBatch, MessageInit } from '../../../clients/history/history-requests.ts';
import { conversationOf } from '../chat-check.ts';
import { type ChatConversation, type ChatLine, expectedConversations } from '../corpus.ts';
import type { Life } from './copy-life.ts';
import { digestOf, type ModelMessage, type ModelName, traitsOf } from './copy-model.ts';

/** Devices of users who talk in imported conversations. */
const devices = 18;

/** Messages of one batch: of the largest they stay below its limit. */
const batchMessages = 400;

/** Imports chats through the service, and takes them over. */
export async function importChats(
  life: Life,
  lines: readonly ChatLine[],
  signal: AbortSignal,
): Promise<void> {
  const conversations = await expectedConversations(lines);
  const [replica] = life.replicas;
  const answers = replica?.history.import(batchesOf(conversations), { signal });
  for await (const _ of answers ?? []);
  adoptChats(life, conversations);
}

/** The model takes over conversations that the service has, each message as it was imported. */
export function adoptChats(life: Life, conversations: readonly ChatConversation[]): void {
  for (const { name, kind, messages } of conversations) {
    const [a = '', b = ''] = name.split('|').sort();
    const known: ModelName = kind === 'group' ? { group: name } : { pair: [a, b] };
    const conversation = life.open(known, life.imported);
    conversation.add(messages.map(adopted), true);
  }
  for (let n = 0; n < devices; n++) {
    const users = [...life.random.pick(life.imported).members.keys()];
    if (users.length > 0) life.addReader(life.random.pick(users), n % 3 === 0);
  }
}

function* batchesOf(conversations: readonly ChatConversation[]): Generator<ImportBatch> {
  for (const conversation of conversations) {
    const messages = conversation.messages.map(messageOf);
    for (let first = 0; first < messages.length; first += batchMessages) {
      const some = messages.slice(first, first + batchMessages);
      yield { runs: [{ ...conversationOf(conversation), messages: some }] };
    }
  }
}

function messageOf({ id, sender, sent_at_ms, text }: ChatLine): MessageInit {
  return { id, sender, sentAtMs: BigInt(sent_at_ms), content: { text } };
}

function adopted({ id, sender, sent_at_ms, text }: ChatLine, index: number): ModelMessage {
  const content = create(ContentSchema, { text });
  return {
    ...{ seq: index + 1, id, sender, sentAtMs: BigInt(sent_at_ms), expiresAtMs: 0 },
    ...{ imported: true, said: digestOf(content), traits: traitsOf(content), edited: false },
  };
}
