import { type SweepParts, sweep } from '../../../services/history/domain/sweep.ts';
import { never } from './engines.ts';

/** Sweeps once, at a time; kept are messages for ever, and changes for a day, where nothing else is said. */
export function sweepAt(
  { database }: Pick<SweepParts, 'database'>,
  nowMs: number,
  parts: Partial<SweepParts> = {},
): Promise<void> {
  return sweep({ database, retentionMs: 0, changesMs: 86_400_000, ...parts }, nowMs, never);
}
