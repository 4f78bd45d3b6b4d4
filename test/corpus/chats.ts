import { HistoryClient } from '../../clients/history/history-client.ts';
import { allAtOnce, checkScrollback, importFile, shortMessages } from '../support/chat-check.ts';
import {
  type ChatConversation,
  chatFile,
  chatFiles,
  expectedConversations,
  readChatLines,
} from '../support/corpus.ts';
import type { Progress } from '../support/progress.ts';
import type { Report } from './report.ts';

/**
 * Imports all chats of the corpus twice through the `backscroll` command, and reads every conversation
 * back. `label` names the engine, `address` is the history service's.
 */
export async function checkChats(
  report: Report,
  label: string,
  address: string,
  corpus: string,
): Promise<void> {
  using client = new HistoryClient(address);
  for (const name of chatFiles) {
    const path = chatFile(corpus, name);
    const conversations = await expectedConversations(readChatLines(path));
    const messages = sum(conversations, (conversation) => conversation.messages.length);
    const repeats = sum(conversations, (conversation) => conversation.repeats);
    await report.check(`${label}: import ${name}, ${messages} messages`, () =>
      importFile(address, path, { added: messages, repeated: repeats }),
    );
    await report.check(`${label}: import ${name} again`, () =>
      importFile(address, path, { added: 0, repeated: messages + repeats }),
    );
    for (const pageSize of [50, 500, allAtOnce]) {
      const size = pageSize === allAtOnce ? 'all at once' : `in pages of ${pageSize}`;
      await report.check(`${label}: sync ${name} ${size}`, (progress) =>
        readBack(client, conversations, pageSize, progress),
      );
    }
    const short = conversations.filter(({ messages }) => messages.length <= shortMessages);
    if (short.length === 0) continue;
    await report.check(
      `${label}: sync ${short.length} short ones of ${name} one by one`,
      (progress) => readBack(client, short, 1, progress),
    );
  }
}

async function readBack(
  client: HistoryClient,
  conversations: readonly ChatConversation[],
  pageSize: number,
  progress: Progress,
): Promise<void> {
  for (const [index, conversation] of conversations.entries()) {
    progress.update(`${index} of ${conversations.length} conversations`);
    await checkScrollback(client, conversation, pageSize);
  }
}

function sum<T>(items: readonly T[], count: (item: T) => number): number {
  return items.reduce((total, item) => total + count(item), 0);
}
