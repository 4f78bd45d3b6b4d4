import type { Message } from '../gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../history/conversation.ts';
import type { PlacedMessage } from './message-line.ts';

/** A message to import, and where it came from. */
export interface ImportLine extends PlacedMessage {
  /** Its file and line, as messages to the user name it. */
  readonly origin: string;
  /** Length of its line in bytes. */
  readonly sizeBytes: number;
}

/** Consecutive messages of one conversation. */
export interface Run {
  readonly messages: Message[];
  /** Where each of them came from. */
  readonly origins: string[];
}

/** One batch of an import. */
export interface Batch {
  readonly runs: (Conversation & Run)[];
}

/** The service takes 64 runs a batch, */
const MOST_RUNS = 64;
/** and 5,000 messages, */
const MOST_MESSAGES = 5_000;
/** and 2 MiB. A message encodes to less than its line, so counting those keeps below it. */
const MOST_LINE_BYTES = 2_000_000;

/**
 * Groups messages into batches as large as the service takes: consecutive messages of one
 * conversation become a run. The order stays.
 */
export async function* batchesOf(
  lines: AsyncIterable<Iterable<ImportLine>>,
): AsyncGenerator<Batch, void, undefined> {
  let runs: (Conversation & Run)[] = [];
  let messages = 0;
  let lineBytes = 0;
  for await (const chunk of lines) {
    for (const line of chunk) {
      const opens = !isSame(runs.at(-1), line.conversation);
      const full =
        messages === MOST_MESSAGES ||
        lineBytes + line.sizeBytes > MOST_LINE_BYTES ||
        (opens && runs.length === MOST_RUNS);
      if (full && messages > 0) {
        yield { runs };
        runs = [];
        messages = 0;
        lineBytes = 0;
      }
      if (opens || runs.length === 0)
        runs.push({ ...line.conversation, messages: [], origins: [] });
      const run = runs.at(-1)!;
      run.messages.push(line.message);
      run.origins.push(line.origin);
      messages += 1;
      lineBytes += line.sizeBytes;
    }
  }
  if (messages > 0) yield { runs };
}

/**
 * What a refusal of a batch names by a field such as `runs[3].messages[17].id`, as the user knows it:
 * the origin of the message, and the field in it. Undefined where it names no run.
 */
export function placeOf(batch: Batch, field: string): string | undefined {
  const [path, run, message = 0] = /^runs\[(\d+)\](?:\.messages\[(\d+)\])?\.?/.exec(field) ?? [];
  const origin = batch.runs[Number(run)]?.origins[Number(message)];
  if (path === undefined || origin === undefined) return undefined;
  const inMessage = field.slice(path.length);
  return inMessage === '' ? origin : `${origin}: ${inMessage}`;
}

function isSame(a: Conversation | undefined, b: Conversation): boolean {
  return a !== undefined && a.user === b.user && a.peer === b.peer && a.group === b.group;
}
