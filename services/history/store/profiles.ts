import type { Database } from './database.ts';
import { PROFILE } from './tables.ts';

/** A stored profile. */
export interface StoredProfile {
  readonly user: string;
  readonly updatedAtMs: number;
  /** Encoded, without the time. */
  readonly body: Buffer;
}

/**
 * Stores profiles in place of those that are there, in one statement. The time of each rises by a
 * millisecond at least, also where the clock stands still or went back: who asks for what changed
 * since a time that they know misses nothing.
 */
export async function writeProfiles(
  database: Database,
  profiles: readonly StoredProfile[],
): Promise<void> {
  const rows = profiles.map(({ user, updatedAtMs, body }) => [
    Buffer.from(user),
    updatedAtMs,
    body,
  ]);
  await database.run((session) =>
    session.insert(PROFILE, rows, { updated_at_ms: 'surpass', body: 'replace' }),
  );
}

/** The profiles of those of `users` who have one: undefined for what was not stored after `sinceMs`. */
export function readProfiles(
  database: Database,
  users: readonly string[],
  sinceMs: number,
  signal: AbortSignal,
): Promise<Map<string, StoredProfile | undefined>> {
  return database.run(async (session) => {
    const rows = await session.rows<[Buffer, number, Buffer | null]>(
      `SELECT user_name, updated_at_ms, CASE WHEN updated_at_ms > ? THEN body END
       FROM profile WHERE user_name IN (?)`,
      [sinceMs, users.map((user) => Buffer.from(user))],
    );
    return new Map(
      rows.map(([name, updatedAtMs, body]) => {
        const user = name.toString();
        return [user, body ? { user, updatedAtMs, body } : undefined];
      }),
    );
  }, signal);
}
