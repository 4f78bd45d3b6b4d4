import type { Database } from './database.ts';
import { LEASE } from './tables.ts';

/**
 * Takes a job that one replica does at a time, or keeps it: true where it is `holder`'s until
 * `untilMs`, false while another one has it. `holder`: 16 bytes. Times are those of the replicas'
 * clocks, so two may hold it for a moment: what is done under it must bear that.
 */
export function takeLease(
  database: Database,
  name: string,
  holder: Buffer,
  nowMs: number,
  untilMs: number,
): Promise<boolean> {
  const key = Buffer.from(name);
  return database.transaction(async (transaction) => {
    await transaction.insert(LEASE, [[key, holder, 0]], 'keep');
    const [held] = await transaction.rows<[Buffer, number]>(
      'SELECT holder, until_ms FROM lease WHERE name = ? FOR UPDATE',
      [key],
    );
    const [heldBy, heldUntilMs] = held!;
    if (!heldBy.equals(holder) && heldUntilMs > nowMs) return { value: false, commit: false };
    await transaction.write('UPDATE lease SET holder = ?, until_ms = ? WHERE name = ?', [
      ...[holder, untilMs, key],
    ]);
    return { value: true, commit: true };
  });
}

/** Gives a job back where `holder` has it, so that another replica need not wait for its end. */
export function giveLeaseBack(database: Database, name: string, holder: Buffer): Promise<void> {
  return database.run((session) =>
    session.write('DELETE FROM lease WHERE name = ? AND holder = ?', [Buffer.from(name), holder]),
  );
}
