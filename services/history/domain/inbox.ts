import { INBOX_SLACK_MS } from '../limits.ts';
import type { Database } from '../store/database.ts';
import {
  MEMBERSHIPS,
  type Membership,
  type Rank,
  readChangedMemberships,
  readMemberships,
  readRanks,
  readUserRevision,
} from '../store/inbox.ts';
import { BEFORE_ALL, keyOf } from '../store/model.ts';
import { ROLE } from '../store/standing.ts';
import { resyncRequired } from './errors.ts';
import { entriesOf, type InboxEntry } from './inbox-entries.ts';
import type { Cursor, Progress } from './inbox-token.ts';

/** Which page of an inbox to read. */
export interface InboxQuery {
  readonly user: string;
  /** Conversations of a page at most. */
  readonly count: number;
  /** Only those in which something changed for the user since this revision of theirs. */
  readonly since: number | undefined;
  /** What the page before left; undefined for the first. */
  readonly progress: Progress | undefined;
}

/** A page of an inbox. */
export interface InboxPage {
  readonly entries: readonly InboxEntry[];
  /** The user's own revision from before the first page. */
  readonly revision: number;
  /** Absent after the last page. */
  readonly next?: Progress;
}

/**
 * One page of a user's inbox, computed of memberships and conversations as they now stand: an append
 * has nothing to maintain. What rises while pages are read may pass from those to come to those that
 * were given: so all that rose since the first page comes once more after the others, by id.
 *
 * @throws ServiceError RESYNC_REQUIRED where the user never had the revision `since`
 */
export async function readInbox(
  database: Database,
  query: InboxQuery,
  nowMs: number,
  signal: AbortSignal,
): Promise<InboxPage> {
  const { user, count } = query;
  const progress = query.progress ?? (await begin(database, query, nowMs, signal));
  const { revision } = progress;
  const found =
    query.since === undefined
      ? await findAll(database, query, progress, signal)
      : await findChanged(database, user, progress, signal);
  const { entries, covered } = await entriesOf(
    database,
    user,
    found.slice(0, count),
    nowMs,
    signal,
  );
  const page = { entries, revision };
  if (covered === found.length) return page;
  return { ...page, next: { ...progress, cursor: found[covered - 1]!.cursor } };
}

/**
 * The revision is read before all else: what changes later has a higher one. Who knows a higher one
 * knew the user before they were erased.
 */
async function begin(
  database: Database,
  { user, since }: InboxQuery,
  nowMs: number,
  signal: AbortSignal,
): Promise<Progress> {
  const revision = await database.run((session) => readUserRevision(session, user), signal);
  if (since !== undefined && since > revision) throw resyncRequired();
  const cursor: Cursor =
    since === undefined
      ? { part: 'newest', at: LATEST_MS, conversationId: BEFORE_ALL }
      : { part: 'changed', at: BigInt(since), conversationId: BEFORE_ALL };
  return { revision, beganAtMs: nowMs, cursor };
}

const LATEST_MS = 2n ** 63n - 1n;

interface Found extends Membership {
  /** To go on behind it. */
  readonly cursor: Cursor;
}

async function findChanged(
  database: Database,
  user: string,
  { revision, cursor }: Progress,
  signal: AbortSignal,
): Promise<Found[]> {
  const memberships = await database.run(
    (session) => readChangedMemberships(session, user, Number(cursor.at), revision),
    signal,
  );
  return memberships.map((membership) => ({
    ...membership,
    cursor: { part: 'changed', at: BigInt(membership.revision), conversationId: BEFORE_ALL },
  }));
}

/** At least one more than a page holds, where there is one. */
async function findAll(
  database: Database,
  { user, count, progress: before }: InboxQuery,
  progress: Progress,
  signal: AbortSignal,
): Promise<Found[]> {
  const { part, conversationId } = progress.cursor;
  const newest =
    part === 'newest' ? await findNewest(database, user, progress, count + 1, signal) : [];
  if (before === undefined || newest.length > count) return newest;
  const afterId = part === 'risen' ? conversationId : BEFORE_ALL;
  const wanted = count + 1 - newest.length;
  return [...newest, ...(await findRisen(database, user, progress, afterId, wanted, signal))];
}

async function findNewest(
  database: Database,
  user: string,
  { cursor }: Progress,
  wanted: number,
  signal: AbortSignal,
): Promise<Found[]> {
  let best: Found[] = [];
  for await (const ranked of rankedOf(database, user, BEFORE_ALL, signal)) {
    const found = ranked.map(({ rank, ...membership }): Found => {
      const { conversationId } = membership;
      return { ...membership, cursor: { part: 'newest', at: shownAtMs(rank), conversationId } };
    });
    const worst = best.length < wanted ? undefined : best.at(-1)!.cursor;
    const candidates = found.filter(
      (one) => byTime(cursor, one.cursor) < 0 && (!worst || byTime(one.cursor, worst) < 0),
    );
    best = [...best, ...candidates].sort((a, b) => byTime(a.cursor, b.cursor)).slice(0, wanted);
  }
  return best;
}

/** Latest first; those of the same time by id. */
function byTime(a: Cursor, b: Cursor): number {
  if (a.at !== b.at) return a.at > b.at ? -1 : 1;
  return Buffer.compare(a.conversationId, b.conversationId);
}

async function findRisen(
  database: Database,
  user: string,
  { revision, beganAtMs }: Progress,
  afterId: Buffer,
  wanted: number,
  signal: AbortSignal,
): Promise<Found[]> {
  const found: Found[] = [];
  const sinceMs = beganAtMs - INBOX_SLACK_MS;
  for await (const ranked of rankedOf(database, user, afterId, signal)) {
    const risen = ranked
      .filter((one) => one.revision > revision || roseAtMs(one.rank) >= sinceMs)
      .sort((a, b) => Buffer.compare(a.conversationId, b.conversationId));
    for (const { rank: _, ...membership } of risen) {
      const { conversationId } = membership;
      found.push({ ...membership, cursor: { part: 'risen', at: 0n, conversationId } });
    }
    if (found.length >= wanted) break;
  }
  return found.slice(0, wanted);
}

/** Time of the newest message in view; where there is none yet, of joining. */
function shownAtMs(rank: Rank): bigint {
  const { role, intervals, floorSeq, hiddenUpToSeq, lastSeq } = rank;
  const isFormer = role === ROLE.former;
  const newest = intervals.at(-1);
  const end = isFormer ? (newest?.to ?? 0) : lastSeq;
  const isSeen = end >= Math.max(newest?.from ?? 1, floorSeq, hiddenUpToSeq + 1);
  if (!isSeen) return BigInt(rank.joinedAtMs);
  return isFormer ? rank.leftSentAtMs : rank.lastSentAtMs;
}

/** The service's time at which the user saw it rise for the last time; a former member sees that no more. */
function roseAtMs({ role, joinedAtMs, appendedAtMs }: Rank): number {
  return role === ROLE.former ? joinedAtMs : Math.max(joinedAtMs, appendedAtMs);
}

type Ranked = Membership & { readonly rank: Rank };

/** Conversations that are looked up at a time. */
const RANKS_AT_ONCE = 500;

/** A user's conversations behind an id: piece by piece ascending, in a piece in no order. */
async function* rankedOf(
  database: Database,
  user: string,
  afterId: Buffer,
  signal: AbortSignal,
): AsyncGenerator<Ranked[]> {
  let last = afterId;
  for (;;) {
    const memberships = await database.run(
      (session) => readMemberships(session, user, last),
      signal,
    );
    for (let first = 0; first < memberships.length; first += RANKS_AT_ONCE) {
      const some = memberships.slice(first, first + RANKS_AT_ONCE);
      const ids = some.map(({ conversationId }) => conversationId);
      const ranks = await database.run((session) => readRanks(session, user, ids), signal);
      const revisions = new Map(some.map((one) => [keyOf(one.conversationId), one.revision]));
      yield ranks.map((rank) => {
        const { conversationId } = rank;
        return { conversationId, revision: revisions.get(keyOf(conversationId))!, rank };
      });
    }
    if (memberships.length < MEMBERSHIPS) return;
    last = memberships.at(-1)!.conversationId;
  }
}
