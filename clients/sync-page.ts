import { status } from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';
import type { SyncResponse, SyncResult } from './gen/backscroll/history/v1/history_pb.ts';
import type { Message } from './gen/backscroll/history/v1/message_pb.ts';
import { cutOff } from './stream-faults.ts';

/**
 * One page of messages, as it arrives. Can be read once: message by message (iterate it), frame by
 * frame (`frames()`), or all at once (`collect()`). The call begins with the reading, and leaving
 * the iteration early cancels it. A page that ends before its result fails with UNAVAILABLE, reason
 * CUT_OFF: a page that was read to its end is complete.
 */
export class SyncPage implements AsyncIterable<Message> {
  /**
   * What is known after the page: resolves when it was read to its end, and fails with what the
   * reading fails with. Pending while nobody reads.
   */
  readonly result: Promise<SyncResult>;

  readonly #responses: AsyncIterable<SyncResponse>;
  #settle!: { resolve(result: SyncResult): void; reject(error: unknown): void };

  /** For the client's own use: a page of the answers of one call. */
  constructor(responses: AsyncIterable<SyncResponse>) {
    this.#responses = responses;
    this.result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Whoever reads learns of a failure by the reading; `result` need not be looked at.
    this.result.catch(() => {});
  }

  /** The page's messages in the frames in which they come: fewer steps than one by one. */
  async *frames(): AsyncGenerator<Message[], void, undefined> {
    let result: SyncResult | undefined;
    try {
      for await (const response of this.#responses) {
        if (response.messages.length > 0) yield response.messages;
        result = response.result;
      }
      if (!result) throw cutOff('The page ended before its result');
      this.#settle.resolve(result);
    } catch (error) {
      this.#settle.reject(error);
      throw error;
    } finally {
      this.#settle.reject(
        new BackscrollError('The page was left', { code: status.CANCELLED, reason: 'CANCELLED' }),
      );
    }
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
