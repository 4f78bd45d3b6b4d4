import { create, type MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@grpc/grpc-js';
import { type CallOptions, callBidi, callServerStream, callUnary, typedMethods } from './calls.ts';
import { ChangeStream } from './change-stream.ts';
import { type ChannelOptions, openChannel } from './channel.ts';
import { type Conversation, conversationFields } from './conversation.ts';
import {
  ChangesRequestSchema,
  DeleteMessagesRequestSchema,
  type DeleteMessagesResponse,
  DeleteScope,
  EditMessageRequestSchema,
  type EditMessageResponse,
} from './gen/backscroll/history/v1/changes_pb.ts';
import {
  AppendRequestSchema,
  type AppendResponse,
  HistoryService,
  type ImportRequest,
  ImportRequestSchema,
  type ImportResponse,
  ImportRunSchema,
  Kind,
  Order,
  type SyncRequest,
  SyncRequestSchema,
} from './gen/backscroll/history/v1/history_pb.ts';
import {
  ListConversationsRequestSchema,
  MarkDeliveredRequestSchema,
  MarkReadRequestSchema,
  type Marks,
  MarksSchema,
} from './gen/backscroll/history/v1/inbox_pb.ts';
import {
  type ContentSchema,
  type Message,
  MessageSchema,
} from './gen/backscroll/history/v1/message_pb.ts';
import { importThrough } from './import-stream.ts';
import { Inbox } from './inbox.ts';
import { SyncPage } from './sync-page.ts';
import { uuidv7 } from './uuid.ts';

/** A message to store: any part of the proto's `Message`, such as `{ content: { text: 'Hi' } }`. */
export type MessageInit = MessageInitShape<typeof MessageSchema>;

/** A seq, time or revision: beyond 2^53 only a bigint is exact. */
type Whole = bigint | number;

/** Where a page stands; the proto's `SyncRequest.anchor` explains each. At most one of them. */
export interface Anchor {
  readonly beforeSeq?: Whole | undefined;
  readonly afterSeq?: Whole | undefined;
  readonly aroundSeq?: Whole | undefined;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly aroundTimeMs?: Whole | undefined;
  readonly aroundMessageId?: string | undefined;
}

/** What messages a page is of: those that hold one of `kinds`, in `thread`; both may be absent. */
export interface Filter {
  readonly kinds?: readonly MessageKind[] | undefined;
  readonly thread?: string | undefined;
}

const KINDS = {
  text: Kind.TEXT,
  file: Kind.FILE,
  call: Kind.CALL,
  'missed-call': Kind.MISSED_CALL,
  'incoming-call': Kind.INCOMING_CALL,
  'outgoing-call': Kind.OUTGOING_CALL,
} as const;

/** What a message may hold; the proto's `Kind` explains each. */
export type MessageKind = keyof typeof KINDS;

/** Every `MessageKind`. */
export const MESSAGE_KINDS = Object.keys(KINDS) as MessageKind[];

/** Which messages to read: the newest without an anchor. */
export type SyncInit = Conversation &
  Anchor & {
    /** How many messages, at most; 50 where it is absent. */
    readonly count?: number | undefined;
    /** Order of delivery; `newest-first` where it is absent. */
    readonly order?: 'newest-first' | 'oldest-first' | undefined;
    /** All messages where it is absent. */
    readonly filter?: Filter | undefined;
  };

/** A message to edit, by its seq or id, and what it says from now on. */
export type EditInit = Conversation & { readonly user: string } & (
    | { readonly seq: Whole; readonly messageId?: never }
    | { readonly messageId: string; readonly seq?: never }
  ) & {
    readonly content: MessageInitShape<typeof ContentSchema>;
    /** Edit only if the message stands at this revision: `Message.revision` as it was last seen. */
    readonly expectedRevision?: Whole | undefined;
  };

/** Messages to delete: some, at most 1,000, or all up to a seq. */
export type DeleteInit = Conversation & { readonly scope: 'for-me' | 'for-everyone' } & (
    | { readonly seqs: readonly Whole[]; readonly upToSeq?: never }
    | { readonly upToSeq: Whole; readonly seqs?: never }
  );

/** Since when changes are asked for. */
export type ChangesInit = Conversation & { readonly sinceRevision: Whole };

/** Up to where messages were read, or delivered. */
export type MarkInit = Conversation & { readonly user: string; readonly seq: Whole };

/** Which conversations to list. */
export interface InboxInit {
  readonly user: string;
  /** How many conversations come with one answer of the service; 50 where it is absent. */
  readonly pageSize?: number | undefined;
  /** Only those in which something changed for this user alone since then. Absent: all. */
  readonly sinceUserRevision?: Whole | undefined;
}

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
      ...(request.filter && { filter: filterOf(request.filter) }),
    });
    return new SyncPage(callServerStream(this.#client, methods.sync, message, options));
  }

  /**
   * What a device that holds messages of a conversation must correct. The call begins when it is read.
   * Reason RESYNC_REQUIRED: forget the conversation's messages, and sync again.
   */
  changes(request: ChangesInit, options?: CallOptions): ChangeStream {
    const message = create(ChangesRequestSchema, {
      ...conversationFields(request),
      sinceRevision: BigInt(request.sinceRevision),
    });
    return new ChangeStream(callServerStream(this.#client, methods.changes, message, options));
  }

  /** The user's conversations, page by page as they are read; see `Inbox`. */
  inbox(request: InboxInit, options?: CallOptions): Inbox {
    const { user, pageSize = 0, sinceUserRevision } = request;
    return new Inbox((pageToken) => {
      const since =
        sinceUserRevision === undefined ? {} : { sinceUserRevision: BigInt(sinceUserRevision) };
      const message = create(ListConversationsRequestSchema, {
        user,
        pageSize,
        pageToken,
        ...since,
      });
      return callUnary(this.#client, methods.listConversations, message, options);
    });
  }

  /** Gives a message new content; resolves to the message as every reader now gets it. */
  async edit(request: EditInit, options?: CallOptions): Promise<EditMessageResponse> {
    const { seq, messageId, content, expectedRevision } = request;
    const message = create(EditMessageRequestSchema, {
      ...conversationFields(request),
      message:
        seq === undefined
          ? { case: 'messageId', value: messageId }
          : { case: 'seq', value: BigInt(seq) },
      content,
      ...(expectedRevision !== undefined && { expectedRevision: BigInt(expectedRevision) }),
    });
    return callUnary(this.#client, methods.editMessage, message, options);
  }

  /** Deletes messages for the user alone, or for everyone. */
  delete(request: DeleteInit, options?: CallOptions): Promise<DeleteMessagesResponse> {
    const { scope, seqs = [], upToSeq = 0n } = request;
    const message = create(DeleteMessagesRequestSchema, {
      ...conversationFields(request),
      scope: scope === 'for-me' ? DeleteScope.FOR_ME : DeleteScope.FOR_EVERYONE,
      seqs: seqs.map(BigInt),
      upToSeq: BigInt(upToSeq),
    });
    return callUnary(this.#client, methods.deleteMessages, message, options);
  }

  /** Marks all messages up to a seq as read by the user; resolves to their marks as they now stand. */
  async markRead(request: MarkInit, options?: CallOptions): Promise<Marks> {
    const message = create(MarkReadRequestSchema, markFields(request));
    return marksOf(await callUnary(this.#client, methods.markRead, message, options));
  }

  /** Marks all messages up to a seq as delivered to the user; resolves to their marks as they now stand. */
  async markDelivered(request: MarkInit, options?: CallOptions): Promise<Marks> {
    const message = create(MarkDeliveredRequestSchema, markFields(request));
    return marksOf(await callUnary(this.#client, methods.markDelivered, message, options));
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

function anchorOf(anchor: Anchor): SyncRequest['anchor'] {
  const { beforeSeq, afterSeq, aroundSeq, aroundTimeMs, aroundMessageId } = anchor;
  if (beforeSeq !== undefined) return { case: 'beforeSeq', value: BigInt(beforeSeq) };
  if (afterSeq !== undefined) return { case: 'afterSeq', value: BigInt(afterSeq) };
  if (aroundSeq !== undefined) return { case: 'aroundSeq', value: BigInt(aroundSeq) };
  if (aroundTimeMs !== undefined) return { case: 'aroundTimeMs', value: BigInt(aroundTimeMs) };
  if (aroundMessageId !== undefined) return { case: 'aroundMessageId', value: aroundMessageId };
  return { case: undefined };
}

function filterOf({ kinds = [], thread = '' }: Filter) {
  return { kinds: kinds.map((kind) => KINDS[kind]), thread };
}

function markFields(request: MarkInit) {
  return { ...conversationFields(request), seq: BigInt(request.seq) };
}

/** The service always sets them. */
function marksOf({ marks }: { readonly marks?: Marks | undefined }): Marks {
  return marks ?? create(MarksSchema);
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
