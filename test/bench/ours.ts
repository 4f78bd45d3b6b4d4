/** The client's process: the client library, talking to both services. */
import { setTimeout as delay } from 'node:timers/promises';
import { VerificationState } from '../../clients/gen/backscroll/backup/v1/backup_pb.ts';
import {
  BackupClient,
  type Conversation,
  HistoryClient,
  type ImportBatch,
  type ImportRunInit,
  type MessageInit,
  type MessageKind,
} from '../../clients/index.ts';
import { peakMemoryBytes } from '../support/processes.ts';
import type { BenchLine } from './lines.ts';
import { seconds } from './measure.ts';
import { serveJobs } from './worker.ts';

export type OurJobs = typeof jobs;

let user: string;
let history: HistoryClient;
let backups: BackupClient;

const jobs = {
  /** Connects; databases will be those of `owner`. */
  async connect(historyAddress: string, backupAddress: string, owner: string): Promise<void> {
    user = owner;
    history = new HistoryClient(historyAddress);
    backups = new BackupClient(backupAddress);
  },

  /** Reads the newest messages of a group; seconds. */
  async syncNewest(group: string, count: number): Promise<number> {
    let received = 0;
    const taken = await seconds(async () => {
      for await (const messages of history.sync({ group, count }).frames()) {
        received += messages.length;
      }
    });
    if (received !== count) throw new Error(`${received} messages of ${count} came`);
    return taken;
  },

  /** Reads a page of 50 of a group below each seq, of these kinds alone; milliseconds of each. */
  async syncPages(
    group: string,
    beforeSeqs: readonly number[],
    kinds: readonly MessageKind[],
  ): Promise<number[]> {
    const times: number[] = [];
    for (const beforeSeq of beforeSeqs) {
      const filter = kinds.length > 0 ? { kinds } : undefined;
      const page = () => history.sync({ group, count: 50, beforeSeq, filter }).collect();
      times.push((await seconds(page)) * 1000);
    }
    return times;
  },

  /** Imports lines that stand conversation by conversation; seconds. */
  async importLines(lines: readonly BenchLine[], runMessages: number): Promise<number> {
    const batches = importBatches(lines, runMessages);
    let added = 0;
    const taken = await seconds(async () => {
      for await (const answer of history.import(batches)) added += answer.added;
    });
    if (added !== lines.length) throw new Error(`${added} messages of ${lines.length} were added`);
    return taken;
  },

  /** Appends messages one by one, each writer as somebody of their own to a group of theirs; seconds. */
  async appendSingly(groups: readonly string[], writers: number, count: number): Promise<number> {
    let next = 0;
    const write = async (writer: number) => {
      for (let n = next++; n < count; n = next++) {
        const message = { sender: `writer ${writer}`, content: { text: `message ${n}, singly` } };
        await history.append({ group: groups[writer % groups.length]!, messages: [message] });
      }
    };
    return seconds(() => Promise.all(Array.from({ length: writers }, (_, n) => write(n))));
  },

  /** Makes a user a member of groups in which others said a few things since. */
  async fillInbox(user: string, count: number): Promise<void> {
    let next = 0;
    const write = async () => {
      for (let n = next++; n < count; n = next++) {
        const messages = [user, 'somebody', 'somebody'].map((sender) => ({
          sender,
          content: { text: `message in group ${n}` },
        }));
        await history.append({ group: `${user}: ${n}`, messages });
      }
    };
    await Promise.all(Array.from({ length: 16 }, write));
  },

  /** Fills groups, of which `member` is one. */
  async fillGroups(groups: readonly string[], member: string, count: number): Promise<void> {
    for (const group of groups) {
      const messages = Array.from({ length: count }, (_, n) => ({
        sender: n === 0 ? member : `person ${n % 5}`,
        content: { text: `message ${n}, as long as what people say on most days` },
      }));
      await history.append({ group, messages });
    }
  },

  /** Lists the first 50 conversations of a user; milliseconds of each time. */
  async listInbox(user: string, times: number): Promise<number[]> {
    const taken: number[] = [];
    for (let n = 0; n < times; n++) {
      const first = async () => {
        for await (const page of history.inbox({ user, pageSize: 50 }).pages()) {
          if (page.conversations.length !== 50) throw new Error('it is no full page');
          return;
        }
      };
      taken.push((await seconds(first)) * 1000);
    }
    return taken;
  },

  /** Edits messages of a group, each by its sender: of those with a text from a seq on. */
  async edit(group: string, fromSeq: number, count: number): Promise<void> {
    const filter = { kinds: ['text'] } as const;
    const page = history.sync({ group, afterSeq: fromSeq, count, filter });
    const { messages } = await page.collect();
    for (const { seq, sender } of messages) {
      await history.edit({ group, user: sender, seq, content: { text: `edited ${seq}` } });
    }
  },

  /** Reads all changes of a group; seconds. */
  async readChanges(group: string, count: number): Promise<number> {
    let messages = 0;
    const taken = await seconds(async () => {
      const changes = await history.changes({ group, sinceRevision: 0 }).collect();
      messages = changes.messages.length;
    });
    if (messages !== count) throw new Error(`${messages} changes of ${count} came`);
    return taken;
  },

  /** Uploads a file, as the next backup of a database. */
  async upload(path: string, database: string): Promise<{ seconds: number; sentBytes: number }> {
    let sentBytes = 0;
    const taken = await seconds(async () => {
      ({ sentBytes } = await backups.upload(path, { user, database }));
    });
    return { seconds: taken, sentBytes };
  },

  /** Waits until a database's newest backup is verified, as the first one is at once. */
  async untilVerified(database: string): Promise<void> {
    for (;;) {
      for await (const { verification } of backups.list({ user, database })) {
        const { state, detail } = verification ?? {};
        if (state === VerificationState.FAILED) throw new Error(detail);
        if (state === VerificationState.PASSED) return;
        break;
      }
      await delay(200);
    }
  },

  /** Restores the newest backup of a database into a file; seconds. */
  async restore(database: string, path: string): Promise<number> {
    return seconds(() => backups.downloadToFile(path, { user, database, overwrite: true }));
  },

  /** The most memory that this process ever had resident. */
  async peakMemoryBytes(): Promise<number> {
    return peakMemoryBytes('self');
  },
};

/** Batches as the service takes them, of runs of at most `runMessages` of one conversation. */
function importBatches(lines: readonly BenchLine[], runMessages: number): ImportBatch[] {
  const batches: ImportRunInit[][] = [[]];
  let messages = 0;
  let bytes = 0;
  for (const run of runsOf(lines, runMessages)) {
    const runBytes = run.reduce((sum, line) => sum + weight(line), 0);
    const runs = batches.at(-1)?.length ?? 0;
    if (runs === 64 || messages + run.length > 5_000 || bytes + runBytes > 2 * 1024 * 1024) {
      batches.push([]);
      messages = 0;
      bytes = 0;
    }
    batches.at(-1)?.push({ ...conversationOf(run[0]!), messages: run.map(messageOf) });
    messages += run.length;
    bytes += runBytes;
  }
  return batches.map((runs) => ({ runs }));
}

function runsOf(lines: readonly BenchLine[], runMessages: number): BenchLine[][] {
  const runs: BenchLine[][] = [];
  for (const line of lines) {
    const run = runs.at(-1);
    const fits = run?.[0]?.conversation === line.conversation && run.length < runMessages;
    if (fits) run.push(line);
    else runs.push([line]);
  }
  return runs;
}

function conversationOf({ conversation, kind }: BenchLine): Conversation {
  if (kind === 'group') return { group: conversation };
  const [user = '', peer = ''] = conversation.split('|');
  return { user, peer };
}

function messageOf(line: BenchLine): MessageInit {
  return {
    id: line.id,
    sender: line.sender,
    sentAtMs: BigInt(line.sent_at_ms),
    content: line.file
      ? { files: [{ url: `https://files.test/${line.id}` }] }
      : { text: line.text },
  };
}

/** At least what the line's message takes in a request. */
function weight(line: BenchLine): number {
  return 3 * (line.text.length + line.id.length + line.sender.length) + 40;
}

serveJobs(jobs);
