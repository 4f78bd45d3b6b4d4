import type { FileRequest } from './transfer-handler.ts';

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
