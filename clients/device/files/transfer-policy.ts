import type { LocalMessage } from '../local/message.ts';
import type { FilePlace, MessageFile } from './message-files.ts';
import type { FilePriority, FileRequest } from './transfer-handler.ts';

/**
 * What becomes of a file that is not there: it is fetched now, later, which is when it is asked for
 * by `fetchFile`, or never, not even then.
 */
export type FileDecision = 'now' | 'later' | 'never';

/** Larger files wait until they are asked for. */
const LARGE_BYTES = 16 * 1024 * 1024;

/** Files of older messages wait until somebody looks at them, or asks. */
const OLD_MS = 30 * 24 * 60 * 60 * 1_000;

/** The decision where the app has none of its own: what is large or old, and not asked for, is left. */
export function decideByDefault(file: FileRequest, nowMs: number = Date.now()): FileDecision {
  if (file.priority === 'asked') return 'now';
  if (file.sizeBytes > LARGE_BYTES) return 'later';
  if (file.priority === 'shown') return 'now';
  return nowMs - file.sentAtMs > OLD_MS ? 'later' : 'now';
}

const RANK = { asked: 0, shown: 1, read: 2 } as const;

/** Which of two files is fetched first (negative: `a`): what is asked for, then shown, then small, then recent. */
export function byUrgency(a: FileRequest, b: FileRequest): number {
  return (
    RANK[a.priority] - RANK[b.priority] ||
    Number(a.sizeBytes === 0) - Number(b.sizeBytes === 0) ||
    a.sizeBytes - b.sizeBytes ||
    b.sentAtMs - a.sentAtMs
  );
}

/** What is fetched, by what the person is looking at and what the app decides. */
export class TransferPolicy {
  readonly #decide: (file: FileRequest) => FileDecision;
  #inView: ReadonlySet<string> = new Set();

  constructor(decide: (file: FileRequest) => FileDecision = decideByDefault) {
    this.#decide = decide;
  }

  /** The person looks at these messages, and at no others. */
  showing(messages: readonly LocalMessage[]): void {
    this.#inView = new Set(messages.map(viewKey));
  }

  /** Why files of messages that were read are fetched that have one content. */
  priorityOf(files: readonly MessageFile[]): FilePriority {
    return files.some(({ place }) => this.#inView.has(viewKey(place))) ? 'shown' : 'read';
  }

  /** Whether a file may be fetched now, for that reason. */
  allows(file: MessageFile['request'], priority: FilePriority): boolean {
    const decision = this.#decide({ ...file, priority });
    return priority === 'asked' ? decision !== 'never' : decision === 'now';
  }
}

function viewKey({ conversation, seq }: Pick<FilePlace, 'conversation' | 'seq'>): string {
  return JSON.stringify([conversation, seq]);
}
