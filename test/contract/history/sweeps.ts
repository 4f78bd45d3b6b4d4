import { type SweepParts, sweep } from '../../../services/history/domain/sweep.ts';
import { LEASE, TABLES } from '../../../services/history/store/tables.ts';
import { never } from './engines.ts';

/** Sweeps once, at a time; kept are messages for ever, and changes for a day, where nothing else is said. */
export function sweepAt(
  { database }: Pick<SweepParts, 'database'>,
  nowMs: number,
  parts: Partial<SweepParts> = {},
): Promise<void> {
  return sweep({ database, retentionMs: 0, changesMs: 86_400_000, ...parts }, nowMs, never);
}

/** All rows of all tables, in the order of their keys; but for who sweeps. */
export async function allRows({
  database,
}: Pick<SweepParts, 'database'>): Promise<Record<string, unknown[][]>> {
  const tables: Record<string, unknown[][]> = {};
  for (const { name, key } of TABLES.filter((table) => table !== LEASE)) {
    tables[name] = await database.run((session) =>
      session.rows<unknown[]>(`SELECT * FROM ${name} ORDER BY ${key.join(', ')}`, []),
    );
  }
  return tables;
}
