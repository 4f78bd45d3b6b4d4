import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  type ChangesRequest,
  ChangesRequestSchema,
  type DeleteMessagesRequest,
  DeleteMessagesRequestSchema,
  DeleteScope,
  type EditMessageRequest,
  EditMessageRequestSchema,
} from '../gen/backscroll/history/v1/changes_pb.ts';
import {
  type AppendRequest,
  AppendRequestSchema,
  type ImportRequest,
  ImportRequestSchema,
  ImportRunSchema,
  Kind,
  Order,
  type SyncRequest,
  SyncRequestSchema,
} from '../gen/backscroll/history/v1/history_pb.ts';
import {
  type ListConversationsRequest,
  ListConversationsRequestSchema,
} from '../gen/backscroll/history/v1/inbox_pb.ts';
import {
  type ContentSchema,
  type Message,
  MessageSchema,
} from '../gen/backscroll/history/v1/message_pb.ts';
import { uuidv7 } from '../uuid.ts';
import { type Conversation, conversationFields } from './conversation.ts';

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
    /** The page ends here at the latest; the proto's `SyncRequest.until_seq` explains it. */
    readonly untilSeq?: Whole | undefined;
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

/** Since when changes are asked for: the revision that the reader knows. */
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

/** The largest number that fits where the proto has a `uint32`: what is above its maximum, the service brings down. */
const MOST_UINT32 = 2 ** 32 - 1;

export function syncRequest(init: SyncInit): SyncRequest {
  const { count = 0, filter, untilSeq = 0n } = init;
  return create(SyncRequestSchema, {
    ...conversationFields(init),
    count: Math.min(count, MOST_UINT32),
    anchor: anchorOf(init),
    order: init.order === 'oldest-first' ? Order.OLDEST_FIRST : Order.NEWEST_FIRST,
    ...(filter && { filter: filterOf(filter) }),
    untilSeq: BigInt(untilSeq),
  });
}

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

export function changesRequest(init: ChangesInit): ChangesRequest {
  return create(ChangesRequestSchema, {
    ...conversationFields(init),
    sinceRevision: BigInt(init.sinceRevision),
  });
}

export function inboxRequest(init: InboxInit, pageToken: string): ListConversationsRequest {
  const { user, pageSize = 0, sinceUserRevision } = init;
  return create(ListConversationsRequestSchema, {
    user,
    pageSize: Math.min(pageSize, MOST_UINT32),
    pageToken,
    ...(sinceUserRevision !== undefined && { sinceUserRevision: BigInt(sinceUserRevision) }),
  });
}

export function editRequest(init: EditInit): EditMessageRequest {
  const { seq, messageId, content, expectedRevision } = init;
  return create(EditMessageRequestSchema, {
    ...conversationFields(init),
    message:
      seq === undefined
        ? { case: 'messageId', value: messageId }
        : { case: 'seq', value: BigInt(seq) },
    content,
    ...(expectedRevision !== undefined && { expectedRevision: BigInt(expectedRevision) }),
  });
}

const SCOPES = { 'for-me': DeleteScope.FOR_ME, 'for-everyone': DeleteScope.FOR_EVERYONE } as const;

export function deleteRequest(init: DeleteInit): DeleteMessagesRequest {
  const { scope, seqs = [], upToSeq = 0n } = init;
  return create(DeleteMessagesRequestSchema, {
    ...conversationFields(init),
    // What is neither, as a program in plain JavaScript may say it, the service refuses.
    scope: SCOPES[scope] ?? DeleteScope.UNSPECIFIED,
    seqs: seqs.map(BigInt),
    upToSeq: BigInt(upToSeq),
  });
}

/** Fields of a `MarkReadRequest` and of a `MarkDeliveredRequest`. */
export function markFields(init: MarkInit) {
  return { ...conversationFields(init), seq: BigInt(init.seq) };
}

/** Messages without an id get one. */
export function appendRequest(init: AppendInit): AppendRequest {
  return create(AppendRequestSchema, {
    ...conversationFields(init),
    messages: init.messages.map(withId),
  });
}

function withId(init: MessageInit): Message {
  return create(MessageSchema, init.id ? init : { ...init, id: uuidv7() });
}

export async function* importRequests(
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
