import { toBinary } from '@bufbuild/protobuf';
import { isReason } from '../../errors.ts';
import { type Profile, ProfileSchema } from '../../gen/backscroll/history/v1/directory_pb.ts';
import type { DirectoryClient } from '../../history/directory-client.ts';
import { decoded } from '../local/decoded.ts';
import type { LocalStore } from '../local/local-store.ts';
import { safe } from '../local/message.ts';

/** A person as others see them. */
export interface LocalProfile {
  readonly user: string;
  /** Name to show; may be empty. */
  readonly displayName: string;
  /** Where the picture is fetched; may be empty. */
  readonly avatarUrl: string;
  /** What else the product keeps of a person. */
  readonly attributes: Readonly<Record<string, string>>;
  /** When it was stored, in milliseconds since 1970-01-01 UTC. */
  readonly updatedAtMs: number;
}

interface ProfileRow {
  readonly user: string;
  readonly updated_at_ms: number;
  readonly asked_at_ms: number;
  readonly body: Uint8Array;
}

interface Asked {
  readonly user: string;
  /** Up to which of the service's times what they stored is known; 0 where nothing is. */
  readonly sinceMs: number;
}

/** Users of one call, at most. */
const BATCH = 500;

/** How far the clocks of the service's replicas may be apart, in milliseconds. */
const SLACK_MS = 60_000;

const PUT_PROFILE = `
  INSERT INTO profile (user, updated_at_ms, asked_at_ms, body) VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET
    updated_at_ms = excluded.updated_at_ms, asked_at_ms = excluded.asked_at_ms, body = excluded.body
  WHERE excluded.updated_at_ms >= updated_at_ms`;

/** Keeps the profiles of people that the user meets. */
export class People {
  readonly #store: LocalStore;
  readonly #directory: DirectoryClient;

  constructor(store: LocalStore, directory: DirectoryClient) {
    this.#store = store;
    this.#directory = directory;
  }

  /**
   * The profile that is held; undefined where it was never asked for, or the person has none. Fails with
   * DATABASE_DAMAGED where it can't be read.
   */
  profile(user: string): LocalProfile | undefined {
    const row = this.#row(user);
    if (!row || row.updated_at_ms === 0) return undefined;
    return profileOf(decoded(ProfileSchema, row.body));
  }

  /**
   * Asks for profiles, some hundred at once: all of those that nothing is known of, and of the others
   * those that were stored since. Gives what is new.
   */
  async refresh(users: readonly string[], signal: AbortSignal): Promise<LocalProfile[]> {
    const asked = [...new Set(users)].map((user): Asked => {
      return { user, sinceMs: this.#row(user)?.asked_at_ms ?? 0 };
    });
    const unknown = asked.filter(({ sinceMs }) => sinceMs === 0);
    // A call has one time for all: those of like times go together.
    const known = asked.filter(({ sinceMs }) => sinceMs > 0);
    known.sort((a, b) => a.sinceMs - b.sinceMs);
    const fresh: Profile[] = [];
    for (const batch of [...batchesOf(unknown), ...batchesOf(known)]) {
      fresh.push(...(await this.#fetch(batch, signal)));
    }
    return fresh.map(profileOf);
  }

  /** `batch`: ascending by time. */
  async #fetch(batch: readonly Asked[], signal: AbortSignal): Promise<Profile[]> {
    const { sinceMs } = batch[0]!;
    const users = batch.map(({ user }) => user);
    try {
      const options = { changedSinceMs: sinceMs, signal };
      const { profiles, absentUsers } = await this.#directory.getProfiles(users, options);
      this.#remove(absentUsers);
      return this.#put(users, sinceMs, profiles);
    } catch (error) {
      // Their profiles are too large for one answer.
      if (!isReason(error, 'TOO_LARGE') || batch.length === 1) throw error;
      const half = Math.ceil(batch.length / 2);
      const first = await this.#fetch(batch.slice(0, half), signal);
      return [...first, ...(await this.#fetch(batch.slice(half), signal))];
    }
  }

  /** Of those who have no profile any more, nothing is kept but that. */
  #remove(users: readonly string[]): void {
    const gone = users.filter((user) => (this.#row(user)?.updated_at_ms ?? 0) !== 0);
    if (gone.length === 0) return;
    this.#store.write(() => {
      for (const user of gone) {
        this.#store.sqlite.run(
          "UPDATE profile SET updated_at_ms = 0, body = x'' WHERE user = ?",
          user,
        );
      }
    });
  }

  /** Stores what was answered to a question of all of `users`. Gives what is new. */
  #put(users: readonly string[], sinceMs: number, profiles: readonly Profile[]): Profile[] {
    const fresh = profiles.filter(
      ({ user, updatedAtMs }) => this.#row(user)?.updated_at_ms !== safe(updatedAtMs),
    );
    if (fresh.length === 0 && sinceMs > 0) return [];
    const newestMs = Math.max(0, ...profiles.map(({ updatedAtMs }) => safe(updatedAtMs)));
    // What is stored from now on has a later time, whichever replica stores it.
    const askedAtMs = Math.max(1, sinceMs, Math.min(newestMs, Date.now()) - SLACK_MS);
    const { sqlite } = this.#store;
    this.#store.write(() => {
      for (const user of users) {
        if (sinceMs === 0) sqlite.run(PUT_PROFILE, user, 0, askedAtMs, new Uint8Array());
        else sqlite.run('UPDATE profile SET asked_at_ms = ? WHERE user = ?', askedAtMs, user);
      }
      for (const profile of fresh) {
        const { user, updatedAtMs } = profile;
        const body = toBinary(ProfileSchema, profile);
        sqlite.run(PUT_PROFILE, user, safe(updatedAtMs), askedAtMs, body);
      }
    });
    return fresh;
  }

  #row(user: string): ProfileRow | undefined {
    return this.#store.sqlite.get<ProfileRow>('SELECT * FROM profile WHERE user = ?', user);
  }
}

function* batchesOf(asked: readonly Asked[]): Generator<Asked[]> {
  for (let first = 0; first < asked.length; first += BATCH) yield asked.slice(first, first + BATCH);
}

function profileOf({ user, displayName, avatarUrl, attributes, updatedAtMs }: Profile) {
  return { user, displayName, avatarUrl, attributes, updatedAtMs: safe(updatedAtMs) };
}
