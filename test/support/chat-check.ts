import type { Message } from '../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Conversation } from '../../clients/history/conversation.ts';
import type { HistoryClient } from '../../clients/history/history-client.ts';
import type { ChatConversation, ChatLine } from './corpus.ts';
import { TestProcess } from './processes.ts';

/** A conversation of at most so many messages is read in pages of one message, too. */
export const shortMessages = 50;

/** More than any conversation of the tests has. */
export const allAtOnce = 1_000_000;

/** How `backscroll import` names the conversation of chat lines: `A|B` is the pair of A and B. */
export function conversationOf({ name, kind }: ChatConversation): Conversation {
  if (kind === 'group') return { group: name };
  const [user = '', peer = ''] = name.split('|');
  return { user, peer };
}

/** What an import is to count. */
export interface ImportCounts {
  readonly added: number;
  readonly repeated: number;
}

/** Imports a file of chat lines by the `backscroll` command; throws where it counts otherwise. */
export async function importFile(address: string, path: string, due: ImportCounts): Promise<void> {
  await using command = new TestProcess([
    ...['clients/cli/main.ts', 'import', path, '--history', address, '--json'],
  ]);
  const { code } = await command.exited;
  if (code !== 0) throw new Error(`backscroll import ended with ${code}: ${command.stderr}`);
  const { added, repeated } = JSON.parse(command.stdout) as ImportCounts;
  if (added !== due.added || repeated !== due.repeated) {
    const got = `added ${added} and found ${repeated}`;
    throw new Error(`backscroll import ${got} for ${due.added} and ${due.repeated}`);
  }
}

/**
 * Reads a conversation from its newest message to its oldest in pages of `pageSize`, as a device does
 * that scrolls up, and compares every field of every message. Throws at the first difference.
 */
export async function checkScrollback(
  client: HistoryClient,
  conversation: ChatConversation,
  pageSize: number,
): Promise<void> {
  const { messages } = conversation;
  const name = conversationOf(conversation);
  let left = messages.length;
  for (let reachedOldest = false; !reachedOldest; ) {
    const page = client.sync({
      ...name,
      count: pageSize,
      beforeSeq: left === messages.length ? undefined : left + 1,
    });
    const { messages: got, result } = await page.collect();
    const due = Math.min(pageSize, left);
    const where = `${conversation.name}, ${pageSize} below seq ${left + 1}`;
    equal(got.length, due, `${where}: messages`);
    equal(result.count, BigInt(due), `${where}: count`);
    equal(result.fromSeq, BigInt(left - due + 1), `${where}: from_seq`);
    equal(result.toSeq, BigInt(left), `${where}: to_seq`);
    equal(result.lastSeq, BigInt(messages.length), `${where}: last_seq`);
    equal(result.reachedNewest, left === messages.length, `${where}: reached_newest`);
    for (const message of got) {
      checkMessage(message, messages[left - 1], left, conversation.name);
      left--;
    }
    equal(result.reachedOldest, left === 0, `${where}: reached_oldest`);
    reachedOldest = result.reachedOldest;
  }
}

function checkMessage(
  message: Message,
  line: ChatLine | undefined,
  seq: number,
  conversation: string,
): void {
  if (!line) throw new Error(`${conversation}: seq ${seq} is more than was imported`);
  const { $typeName, $unknown, content, ...fields } = message;
  const due = {
    seq: BigInt(seq),
    id: line.id,
    sender: line.sender,
    sentAtMs: BigInt(line.sent_at_ms),
    editedAtMs: 0n,
    deletedAtMs: 0n,
    revision: 0n,
  };
  for (const [name, value] of Object.entries(due)) {
    equal(fields[name as keyof typeof due], value, `${conversation}, seq ${seq}: ${name}`);
  }
  const { text, ...rest } = content ?? { text: undefined };
  equal(text, line.text, `${conversation}, seq ${seq}: text`);
  const other = JSON.stringify([rest, $unknown ?? []]);
  equal(other, emptyContent, `${conversation}, seq ${seq}: all else`);
}

const emptyContent = JSON.stringify([
  { $typeName: 'backscroll.history.v1.Content', files: [], thread: '' },
  [],
]);

function equal(got: unknown, due: unknown, what: string): void {
  if (got !== due) throw new Error(`${what} is ${show(got)} for ${show(due)}`);
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 200)) : String(value);
}
