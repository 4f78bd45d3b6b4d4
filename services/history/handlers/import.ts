import { create } from '@bufbuild/protobuf';
import {
  type ImportRequest,
  type ImportResponse,
  ImportResponseSchema,
  type ImportRun,
} from '../../../clients/gen/backscroll/history/v1/history_pb.ts';
import type { CallContext, Caller } from '../../common/call.ts';
import type { HistoryContext } from '../context.ts';
import { checkAddress, conversationAt } from '../domain/address.ts';
import { checkMost, checkTogether, Faults } from '../domain/faults.ts';
import { bytesOf, checkMessage, checkSizes, encodeMessages } from '../domain/message.ts';
import { checkMember, viewOf } from '../domain/view.ts';
import { IMPORT_BYTES, IMPORT_MESSAGES, IMPORT_RUNS } from '../limits.ts';
import { append } from '../store/append.ts';
import type { Database } from '../store/database.ts';
import type { Conversation, NewMessage } from '../store/model.ts';
import { checkCaller } from './authorize.ts';
import { refusalError } from './refusal.ts';

interface Run {
  readonly conversation: Conversation;
  readonly messages: NewMessage[];
}

/** What importing works with. */
type Parts = Pick<HistoryContext, 'database' | 'nowMs' | 'retentionMs'>;

/** Stores old messages batch after batch, and answers each; the next one is decoded while one is stored. */
export async function* importBatches(
  parts: Parts,
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
      await authorize(parts.database, runs, caller, signal);
      const counts = await storeRuns(parts, runs, caller);
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
    const conversation = conversationAt(run);
    const messages = encodeMessages(run.messages, conversation);
    checkSizes(faults, (at) => `runs[${index}].messages[${at}]`, messages);
    return { conversation, messages };
  });
  const bytes = parsed.reduce((sum, { messages }) => sum + bytesOf(messages), 0);
  checkTogether(faults, () => 'runs', bytes, IMPORT_BYTES);
  faults.throwIfAny();
  return parsed;
}

function checkCounts(faults: Faults, runs: readonly ImportRun[]): void {
  const messages = runs.reduce((sum, run) => sum + run.messages.length, 0);
  if (runs.length === 0) faults.add('MISSING_FIELD', 'runs', 'is required');
  checkMost(faults, () => 'runs', runs.length, IMPORT_RUNS);
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
  { database, nowMs, retentionMs }: Parts,
  runs: readonly Run[],
  caller: Caller,
): Promise<Counts> {
  const counts = { added: 0, repeated: 0, skipped: 0 };
  const senders = caller.kind === 'service' ? 'join' : 'any';
  const rules = { senders, nowMs, imported: { retentionMs } } as const;
  for (const [index, { conversation, messages }] of runs.entries()) {
    const [outcome] = await append(database, conversation, [messages], rules);
    const { placed, refused } = outcome!;
    if (refused) throw refusalError(caller, `runs[${index}].messages`, refused);
    for (const { seq, repeated } of placed) {
      counts[seq === 0 ? 'skipped' : repeated ? 'repeated' : 'added']++;
    }
  }
  return counts;
}

type Counts = Record<'added' | 'repeated' | 'skipped', number>;
