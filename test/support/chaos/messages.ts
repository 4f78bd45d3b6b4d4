import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  CallKind,
  CallOutcome,
  type ContentSchema,
  type Message,
  MessageSchema,
} from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Random } from '../random.ts';
import { awkwardTexts } from '../small-corpus.ts';

/** A message with an id of its own, of one of many shapes: mostly short texts, now and then a heavy one. */
export function randomMessage(random: Random, id: string, sender: string): Message {
  return create(MessageSchema, {
    id,
    sender,
    sentAtMs: BigInt(random.between(1, 2_000_000_000)) * 1_000n,
    content: randomContent(random, id),
  });
}

/** What a message may say; `id` makes it differ from others. */
export function randomContent(random: Random, id: string): MessageInitShape<typeof ContentSchema> {
  switch (random.between(0, 15)) {
    case 0:
      return {
        call: { kind: CallKind.VIDEO, outcome: random.pick(outcomes), participants: ['béla'] },
      };
    case 1:
      return { files: [{ url: `https://files.example/${id}`, thumbnail: random.bytes(2_048) }] };
    case 2:
      return { opaque: { data: random.bytes(random.between(1, 8_192)), scheme: 'test-1' } };
    case 3:
      return { text: random.pick(awkwardTexts), reply: { messageId: id }, thread: 'thread' };
    default:
      return { text: `${random.pick(awkwardTexts).slice(0, 200)} ${id}` };
  }
}

const outcomes = [CallOutcome.MISSED, CallOutcome.MISSED, CallOutcome.ANSWERED] as const;
