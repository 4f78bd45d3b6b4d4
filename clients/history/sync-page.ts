import type { SyncResponse, SyncResult } from '../gen/backscroll/history/v1/history_pb.ts';
import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import { FrameStream } from './frame-stream.ts';

/**
 * One page of messages, as it arrives. Can be read once: message by message (iterate it), frame by
 * frame (`frames()`), or all at once (`collect()`); see `FrameStream` for the rest.
 */
export class SyncPage extends FrameStream<Message[], SyncResult> implements AsyncIterable<Message> {
  /** For the client's own use: a page of the answers of one call. */
  constructor(responses: AsyncIterable<SyncResponse>) {
    super(answersOf(responses));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    for await (const frame of this.frames()) yield* frame;
  }

  /** Reads the page to its end. */
  async collect(): Promise<{ messages: Message[]; result: SyncResult }> {
    const messages: Message[] = [];
    for await (const frame of this.frames()) {
      for (const message of frame) messages.push(message);
    }
    return { messages, result: await this.result };
  }
}

async function* answersOf(responses: AsyncIterable<SyncResponse>) {
  for await (const { messages, result } of responses) {
    yield { frame: messages.length > 0 ? messages : undefined, result };
  }
}
