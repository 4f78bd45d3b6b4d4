import { create } from '@bufbuild/protobuf';
import {
  type CallOptions,
  callBidi,
  callServerStream,
  callUnary,
  type StreamOptions,
  typedMethods,
} from '../calls.ts';
import type {
  DeleteMessagesResponse,
  EditMessageResponse,
} from '../gen/backscroll/history/v1/changes_pb.ts';
import {
  type AppendResponse,
  HistoryService,
  type ImportResponse,
} from '../gen/backscroll/history/v1/history_pb.ts';
import {
  MarkDeliveredRequestSchema,
  MarkReadRequestSchema,
  type Marks,
  MarksSchema,
} from '../gen/backscroll/history/v1/inbox_pb.ts';
import { ServiceClient } from '../service-client.ts';
import { ChangeStream } from './change-stream.ts';
import {
  type AppendInit,
  appendRequest,
  type ChangesInit,
  changesRequest,
  type DeleteInit,
  deleteRequest,
  type EditInit,
  editRequest,
  type ImportBatch,
  type InboxInit,
  importRequests,
  inboxRequest,
  type MarkInit,
  markFields,
  type SyncInit,
  syncRequest,
} from './history-requests.ts';
import { importThrough } from './import-stream.ts';
import { Inbox } from './inbox.ts';
import { SyncPage } from './sync-page.ts';

/**
 * Calls a history service. Answers are the proto's own messages: seqs and times are `bigint`s.
 * Whatever a call fails with is a `BackscrollError` with a `reason`; every call is repeatable, and
 * UNAVAILABLE was tried again already. One client serves any number of calls at once.
 */
export class HistoryClient extends ServiceClient {
  /** Reads one page of a conversation. The call begins when the page is read. */
  sync(request: SyncInit, options?: StreamOptions): SyncPage {
    return new SyncPage(
      callServerStream(this.channel, methods.sync, syncRequest(request), options),
    );
  }

  /**
   * What a device that holds messages of a conversation must correct. The call begins when it is read.
   * Reason RESYNC_REQUIRED: forget the conversation's messages, and sync again.
   */
  changes(request: ChangesInit, options?: StreamOptions): ChangeStream {
    return new ChangeStream(
      callServerStream(this.channel, methods.changes, changesRequest(request), options),
    );
  }

  /**
   * The user's conversations, asked for page by page as they are read; see `Inbox`. Reason
   * RESYNC_REQUIRED: the user never came to that user revision, as after an erasure: list all.
   */
  inbox(request: InboxInit, options?: CallOptions): Inbox {
    return new Inbox((pageToken) => {
      const message = inboxRequest(request, pageToken);
      return callUnary(this.channel, methods.listConversations, message, options);
    });
  }

  /** Gives a message new content; resolves to the message as every reader now gets it. */
  async edit(request: EditInit, options?: CallOptions): Promise<EditMessageResponse> {
    return callUnary(this.channel, methods.editMessage, editRequest(request), options);
  }

  /** Deletes messages for the user alone, or for everyone. */
  async delete(request: DeleteInit, options?: CallOptions): Promise<DeleteMessagesResponse> {
    return callUnary(this.channel, methods.deleteMessages, deleteRequest(request), options);
  }

  /** Marks all messages up to a seq as read by the user; resolves to their marks as they now stand. */
  async markRead(request: MarkInit, options?: CallOptions): Promise<Marks> {
    const message = create(MarkReadRequestSchema, markFields(request));
    return marksOf(await callUnary(this.channel, methods.markRead, message, options));
  }

  /** Marks all messages up to a seq as delivered to the user; resolves to their marks as they now stand. */
  async markDelivered(request: MarkInit, options?: CallOptions): Promise<Marks> {
    const message = create(MarkDeliveredRequestSchema, markFields(request));
    return marksOf(await callUnary(this.channel, methods.markDelivered, message, options));
  }

  /**
   * Stores messages at the end of a conversation, all or none; resolves when they are durable.
   * Messages without an id get one here, before the first try, so that no try stores them twice.
   */
  async append(request: AppendInit, options?: CallOptions): Promise<AppendResponse> {
    return callUnary(this.channel, methods.append, appendRequest(request), options);
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
      (produce) => callBidi(this.channel, methods.import, produce, options),
      importRequests(batches),
      options.signal,
    );
  }
}

const methods = typedMethods(HistoryService);

/** The service always sets them. */
function marksOf({ marks }: { readonly marks?: Marks | undefined }): Marks {
  return marks ?? create(MarksSchema);
}
