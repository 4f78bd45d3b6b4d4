import { create } from '@bufbuild/protobuf';
import {
  type ImportRequest,
  type ImportResponse,
  ImportResponseSchema,
  type ImportRun,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext, Caller } from '../../common/call.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { idConflict } from '../domain/conflict.ts';
import { Faults } from '../domain/faults.ts';
import { bytesOf, checkMessage, checkSizes, encodeMessages } from '../domain/message.ts';
import { checkMember, viewOf } from '../domain/view.ts';
import { IMPORT_BYTES, IMPORT_MESSAGES, IMPORT_RUNS } from '../limits.ts';
import { append } from '../store/append.ts';
import type { Database } from '../store/database.ts';
import type { Conversation, NewMessage } from '../store/model.ts';
import { checkCaller } from './authorize.ts';

interface Run {
  readonly conversation: Conversation;
  readonly messages: NewMessage[];
}

/** Stores old messages batch after batch, and answers each; the next one is decoded while one is stored. */
export async function* importBatches(
  database: Database,
  requests: AsyncIterable<ImportRequest>,
  { caller, signal }: CallContext,
): AsyncGenerator<ImportResponse> {
  const iterator = requests[Symbol.asyncIterator]();
  const nextBatch = async () => {
    const { done, value } = await iterator.next();
    return done ? undefined : parseBatch(value);
  };
  try {
    let runs = await nextBatch();
    for (let batch = 1n; runs; batch++) {
      const next = nextBatch();
      next.catch(() => {}); // it is told in its turn, after the answer to this one
      await authorize(database, runs, caller, signal);
      const counts = await storeRuns(database, runs, caller);
      yield create(ImportResponseSchema, { batch, ...counts });
      runs = await next;
    }
  } finally {
    await iterator.return?.();
  }
}

/** @throws ServiceError INVALID_ARGUMENT with all faults of the batch */
function parseBatch({ runs }: ImportRequest): Run[] {
  const faults = new Faults();
  checkCounts(faults, runs);
  faults.throwIfAny();
  for (const [index, run] of runs.entries()) checkRun(faults, `runs[${index}]`, run);
  faults.throwIfAny();

  const parsed = runs.map((run, index) => {
    const messages = encodeMessages(run.messages);
    checkSizes(faults, (at) => `runs[${index}].messages[${at}]`, messages);
    return { conversation: conversationAt(run), messages };
  });
  const bytes = parsed.reduce((sum, { messages }) => sum + bytesOf(messages), 0);
  if (bytes > IMPORT_BYTES) {
    faults.add('TOO_LARGE', 'runs', `must be at most ${IMPORT_BYTES} bytes together`);
  }
  faults.throwIfAny();
  return parsed;
}

function checkCounts(faults: Faults, runs: readonly ImportRun[]): void {
  const messages = runs.reduce((sum, run) => sum + run.messages.length, 0);
  if (runs.length === 0) faults.add('MISSING_FIELD', 'runs', 'is required');
  if (runs.length > IMPORT_RUNS) faults.add('TOO_LARGE', 'runs', `must be at most ${IMPORT_RUNS}`);
  if (messages > IMPORT_MESSAGES) {
    faults.add('TOO_LARGE', 'runs', `must be at most ${IMPORT_MESSAGES} messages together`);
  }
}

function checkRun(faults: Faults, path: string, run: ImportRun): void {
  const { user, conversation, messages } = run;
  checkAddress(faults, `${path}.`, run);
  if (messages.length === 0) faults.add('MISSING_FIELD', `${path}.messages`, 'is required');
  for (const [index, message] of messages.entries()) {
    const at = () => `${path}.messages[${index}]`;
    const { id, sender } = message;
    if (id === '') faults.add('MISSING_FIELD', `${at()}.id`, 'is required');
    checkMessage(faults, at, message);
    if (
      conversation.case === 'peer' &&
      sender !== '' &&
      sender !== user &&
      sender !== conversation.value
    ) {
      faults.add('INVALID_FIELD', `${at()}.sender`, 'must be empty or one of the two');
    }
  }
}

/** A user may bring old messages into their own conversations, whoever sent them. */
async function authorize(
  database: Database,
  runs: readonly Run[],
  caller: Caller,
  signal: AbortSignal,
): Promise<void> {
  if (caller.kind === 'service') return;
  for (const { conversation } of runs) {
    if (conversation.kind === 'pair') checkCaller(caller, conversation.names);
    else checkMember(await viewOf(database, conversation, caller.user, signal));
  }
}

async function storeRuns(
  database: Database,
  runs: readonly Run[],
  caller: Caller,
): Promise<{ added: number; repeated: number }> {
  let added = 0;
  let repeated = 0;
  for (const [index, { conversation, messages }] of runs.entries()) {
    const sendersJoin = caller.kind === 'service' && conversation.kind === 'group';
    const [outcome] = await append(database, conversation, [messages], sendersJoin);
    const { placed, conflictAt } = outcome!;
    if (placed === undefined) throw idConflict(`runs[${index}].messages[${conflictAt}]`);
    const old = placed.filter((place) => place.repeated).length;
    repeated += old;
    added += placed.length - old;
  }
  return { added, repeated };
}
