import { create } from '@bufbuild/protobuf';
import { type Message, MessageSchema } from '../../clients/gen/backscroll/history/v1/message_pb.ts';

/** Messages of bob's with consecutive seqs, each of which tells its own in about a KiB. */
export function messagesOf(fromSeq: number, count: number): Message[] {
  return Array.from({ length: count }, (_, n) => {
    const seq = fromSeq + n;
    return create(MessageSchema, {
      ...{ seq: BigInt(seq), id: `m${seq}`, sender: 'bob', sentAtMs: BigInt(seq) },
      content: { text: `${seq} ${'x'.repeat(1_000)}` },
    });
  });
}
