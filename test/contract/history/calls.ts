import { create, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import {
  ChangesRequestSchema,
  ChangesResponseSchema,
  DeleteMessagesRequestSchema,
  EditMessageRequestSchema,
} from '../../../clients/gen/backscroll/history/v1/changes_pb.ts';
import {
  AppendRequestSchema,
  ImportRequestSchema,
  type ImportResponse,
  SyncRequestSchema,
  SyncResponseSchema,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext, Caller } from '../../../services/common/call.ts';
import { createLogger } from '../../../services/common/logger.ts';
import type { HistoryContext } from '../../../services/history/context.ts';
import { append } from '../../../services/history/handlers/append.ts';
import { changes } from '../../../services/history/handlers/changes.ts';
import { deleteMessages } from '../../../services/history/handlers/delete-messages.ts';
import { editMessage } from '../../../services/history/handlers/edit-message.ts';
import { importBatches } from '../../../services/history/handlers/import.ts';
import { sync } from '../../../services/history/handlers/sync.ts';
import { never } from './engines.ts';

const log = createLogger('test', 'silent');

/** What a handler is told of a call that a user makes, or where nobody is named a service. */
export function callAs(user = '', signal: AbortSignal = never): CallContext {
  const caller: Caller = user === '' ? { kind: 'service' } : { kind: 'user', user };
  return { caller, signal, requestId: 'test', log };
}

/** The methods of the history service, called as over the wire, by a service where nothing else is said. */
export function methodsOf(
  context: Pick<HistoryContext, 'database' | 'appends' | 'nowMs'>,
  call: CallContext = callAs(),
) {
  return {
    append: (request: MessageInitShape<typeof AppendRequestSchema>) =>
      append(context, create(AppendRequestSchema, request), call),
    edit: (request: MessageInitShape<typeof EditMessageRequestSchema>) =>
      editMessage(context, create(EditMessageRequestSchema, request), call),
    delete: (request: MessageInitShape<typeof DeleteMessagesRequestSchema>) =>
      deleteMessages(context, create(DeleteMessagesRequestSchema, request), call),
    /** Everything that changed, and the frames it came in. */
    async changes(request: MessageInitShape<typeof ChangesRequestSchema>) {
      const stream = changes(context, create(ChangesRequestSchema, request), call);
      const bytes = await Array.fromAsync(stream);
      const frames = bytes.map((frame) => fromBinary(ChangesResponseSchema, frame));
      return {
        frames,
        messages: frames.flatMap((frame) => frame.messages),
        hiddenSeqs: frames.flatMap((frame) => frame.hiddenSeqs),
        result: resultOf(frames),
      };
    },
    /** A page. */
    async sync(request: MessageInitShape<typeof SyncRequestSchema>) {
      const stream = sync(context, create(SyncRequestSchema, request), call);
      const bytes = await Array.fromAsync(stream);
      const frames = bytes.map((frame) => fromBinary(SyncResponseSchema, frame));
      return { messages: frames.flatMap((frame) => frame.messages), result: resultOf(frames) };
    },
  };
}

/** Imports one batch of runs, by a service where nothing else is said. */
export async function importRuns(
  context: Pick<HistoryContext, 'database' | 'nowMs' | 'retentionMs'>,
  runs: NonNullable<MessageInitShape<typeof ImportRequestSchema>['runs']>,
  call: CallContext = callAs(),
): Promise<ImportResponse> {
  async function* requests() {
    yield create(ImportRequestSchema, { runs });
  }
  const [answer] = await Array.fromAsync(importBatches(context, requests(), call));
  return answer!;
}

function resultOf<Result>(frames: readonly { readonly result?: Result }[]): NonNullable<Result> {
  const results = frames.flatMap(({ result }) => result ?? []);
  if (results.length !== 1 || !frames.at(-1)?.result) throw new Error('one result, at the end');
  return results[0]!;
}
