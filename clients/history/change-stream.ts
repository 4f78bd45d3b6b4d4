import type { ChangesResponse, ChangesResult } from '../gen/backscroll/history/v1/changes_pb.ts';
import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import { FrameStream } from './frame-stream.ts';

/** What a device must correct of what it holds. */
export interface Changes {
  /** Messages as they now stand; those deleted for everyone have no content. */
  readonly messages: readonly Message[];
  /** Seqs that the user deleted for themself. */
  readonly hiddenSeqs: readonly bigint[];
}

/** The changes of a conversation, as they arrive: frame by frame, or all at once. */
export class ChangeStream extends FrameStream<Changes, ChangesResult> {
  /** For the client's own use: the answers of one call. */
  constructor(responses: AsyncIterable<ChangesResponse>) {
    super(answersOf(responses));
  }

  /** Reads all changes. */
  async collect(): Promise<Changes & { readonly result: ChangesResult }> {
    const messages: Message[] = [];
    const hiddenSeqs: bigint[] = [];
    for await (const frame of this.frames()) {
      for (const message of frame.messages) messages.push(message);
      for (const seq of frame.hiddenSeqs) hiddenSeqs.push(seq);
    }
    return { messages, hiddenSeqs, result: await this.result };
  }
}

async function* answersOf(responses: AsyncIterable<ChangesResponse>) {
  for await (const { messages, hiddenSeqs, result } of responses) {
    const empty = messages.length === 0 && hiddenSeqs.length === 0;
    yield { frame: empty ? undefined : { messages, hiddenSeqs }, result };
  }
}
