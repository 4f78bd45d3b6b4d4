import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { type CallOptions, callBidi, callServerStream, callUnary, typedMethods } from './calls.ts';
import { type ChannelOptions, openChannel } from './channel.ts';
import { type Conversation, conversationFields } from './conversation.ts';
import {
  AppendRequestSchema,
  type AppendResponse,
  HistoryService,
  type ImportRequest,
  ImportRequestSchema,
  type ImportResponse,
  ImportRunSchema,
  Order,
  SyncRequestSchema,
} from './gen/backscroll/history/v1/history_pb.ts';
import { type Message, MessageSchema } from './gen/backscroll/history/v1/message_pb.ts';
import { importThrough } from './import-stream.ts';
import { SyncPage } from './sync-page.ts';
import { uuidv7 } from './uuid.ts';

/** A message to store: any part of the proto's `Message`, such as `{ content: { text: 'Hi' } }`. */
export type MessageInit = MessageInitShape<typeof MessageSchema>;

/** Where a page stands: the newest messages without either. */
type Anchor =
  | { readonly beforeSeq?: bigint | number | undefined; readonly afterSeq?: never }
  | { readonly afterSeq?: bigint | number | undefined; readonly beforeSeq?: never };

/** Which messages to read; `beforeSeq` and `afterSeq` are explained in the proto. */
export type SyncInit = Conversation &
  Anchor & {
    /** How many messages, at most; 50 where it is absent. */
    readonly count?: number | undefined;
    /** Order of delivery; `newest-first` where it is absent. */
    readonly order?: 'newest-first' | 'oldest-first' | undefined;
  };

/** Messages to store at the end of one conversation: 1 to 500, together at most 900 KiB. */
export type AppendInit = Conversation & { readonly messages: readonly MessageInit[] };

/** Old messages of one conversation, in the order in which they are to stand; each has an `id`. */
export type ImportRunInit = Conversation & { readonly messages: readonly MessageInit[] };

/** One batch of an import: 1 to 64 runs, together at most 5,000 messages and 2 MiB. */
export interface ImportBatch {
  readonly runs: readonly ImportRunInit[];
}

/**
 * Calls a history service. Answers are the proto's own messages: seqs and times are `bigint`s.
 * Whatever a call fails with is a `BackscrollError` with a `reason`; UNAVAILABLE was tried again
 * already where that is safe. One client serves any number of calls at once.
 */
export class HistoryClient implements Disposable, AsyncDisposable {
  readonly #client: Client;

  /** Nothing is sent before the first call. `address`: host and port, such as `localhost:50051`. */
  constructor(address: string, options?: ChannelOptions) {
    this.#client = openChannel(address, options);
  }

  /** Reads one page of a conversation. The call begins when the page is read. */
  sync(request: SyncInit, options?: CallOptions): SyncPage {
    const message = create(SyncRequestSchema, {
      ...conversationFields(request),
      // More than its maximum the service brings down to it; more than 32 bits can't be sent.
      count: Math.min(request.count ?? 0, 2 ** 32 - 1),
      anchor: anchorOf(request),
      order: request.order === 'oldest-first' ? Order.OLDEST_FIRST : Order.NEWEST_FIRST,
    });
    return new SyncPage(callServerStream(this.#client, methods.sync, message, options));
  }

  /**
   * Stores messages at the end of a conversation, all or none; resolves when they are durable.
   * Messages without an id get one here, before the first try, so that no try stores them twice.
   */
  append(request: AppendInit, options?: CallOptions): Promise<AppendResponse> {
    const message = create(AppendRequestSchema, {
      ...conversationFields(request),
      messages: request.messages.map(withId),
    });
    return callUnary(this.#client, methods.append, message, options);
  }

  /**
   * Stores old messages, batch after batch, and yields an answer for each once it is durable, in
   * order and numbered from 1. Up to 4 batches are taken from `batches` ahead of their answers. When
   * the service is gone, it connects again and sends what was not answered (which adds nothing
   * twice), up to 12 times without an answer in between (4 before the first). The import goes on
   * while the answers are read; leaving the iteration early cancels it.
   */
  import(
    batches: AsyncIterable<ImportBatch> | Iterable<ImportBatch>,
    options: CallOptions = {},
  ): AsyncIterable<ImportResponse> {
    return importThrough(
      (produce) => callBidi(this.#client, methods.import, produce, options),
      importRequests(batches),
      options.signal,
    );
  }

  /** Begins no more calls, and closes the connection when those under way have ended. */
  close(): void {
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }
}

const methods = typedMethods(HistoryService);

function anchorOf({ beforeSeq, afterSeq }: SyncInit) {
  if (beforeSeq !== undefined) return { case: 'beforeSeq', value: BigInt(beforeSeq) } as const;
  if (afterSeq !== undefined) return { case: 'afterSeq', value: BigInt(afterSeq) } as const;
  return { case: undefined } as const;
}

function withId(init: MessageInit): Message {
  return create(MessageSchema, init.id ? init : { ...init, id: uuidv7() });
}

async function* importRequests(
  batches: AsyncIterable<ImportBatch> | Iterable<ImportBatch>,
): AsyncGenerator<ImportRequest, void, undefined> {
  for await (const { runs } of batches) {
    yield create(ImportRequestSchema, {
      runs: runs.map((run) =>
        create(ImportRunSchema, {
          ...conversationFields(run),
          messages: run.messages as MessageInit[],
        }),
      ),
    });
  }
}
