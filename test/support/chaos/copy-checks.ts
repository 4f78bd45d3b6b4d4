import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { Message } from '../../../clients/gen/backscroll/history/v1/message_pb.ts';
import type { Random } from '../random.ts';
import { wholeDigest } from '../second-reader.ts';
import { addressOf, agree, type Life, membersOf } from './copy-life.ts';
import { keyOf, type ModelConversation } from './copy-model.ts';
import { checkFloor, checkMessage } from './copy-reads.ts';
import { newestOf, seenBy, unreadOf, viewOf } from './copy-view.ts';
import { pause } from './patience.ts';

/** Digests of the messages of a conversation as the service gives them, by seq. */
export type Digests = ReadonlyMap<number, string>;

/** What a check needs to ask. */
export interface Asking {
  readonly life: Life;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Runs `check` of each item, some side by side, and collects what failed. */
export async function faultsOf<T>(
  items: Iterable<T>,
  check: (item: T) => Promise<unknown>,
): Promise<string[]> {
  const faults: string[] = [];
  const rest = items[Symbol.iterator]();
  const work = async () => {
    for (let next = rest.next(); !next.done; next = rest.next()) {
      await check(next.value).catch((error: unknown) => {
        faults.push(error instanceof Error ? error.message : String(error));
      });
    }
  };
  await Promise.all(Array.from({ length: 12 }, work));
  return faults;
}

/**
 * Reads a whole conversation, as a service where it is a group, else as each of the two, and holds it to
 * the model; which learns how far the floor and the revision rose.
 */
export async function checkConversation(
  asking: Asking,
  conversation: ModelConversation,
): Promise<Digests> {
  const { group, pair } = conversation.name;
  const digests = new Map<number, string>();
  if (group !== undefined && (conversation.deleted || isUnborn(conversation))) {
    const { life, random, signal } = asking;
    const outcome = await life.call(random, signal, ({ history }) =>
      history.sync({ group, count: 1 }, { signal }).collect(),
    );
    agree(conversation, 'page', outcome, 'GROUP_NOT_FOUND');
    return digests;
  }
  for (const user of pair ? new Set(pair) : ['', ...onlookers(asking, conversation)]) {
    for (const message of await readWhole(asking, conversation, user)) {
      if (user === '' || pair) checkMessage(conversation, message);
      digests.set(Number(message.seq), wholeDigest(message));
    }
  }
  if (group !== undefined) await checkMembers(asking, conversation, group);
  return digests;
}

/** Whose view of a group is read whole: all who left, and a few who are in it. */
function onlookers({ random }: Asking, conversation: ModelConversation): Set<string> {
  const members = membersOf(conversation);
  const former = [...conversation.members.keys()].filter((user) => !conversation.isMember(user));
  // In imported groups there are many, who see what a service sees.
  const small = conversation.members.size < 30;
  const few = small && members.length > 0 ? [random.pick(members), random.pick(members)] : [];
  return new Set([...former, ...few]);
}

function isUnborn({ created, lastSeq }: ModelConversation): boolean {
  return !created && lastSeq === 0;
}

async function readWhole(
  { life, random, signal }: Asking,
  conversation: ModelConversation,
  user: string,
): Promise<Message[]> {
  const beganMs = Date.now();
  const outcome = await life.call(random, signal, ({ history }) =>
    history
      .sync(
        { ...addressOf(conversation, user), afterSeq: 0, count: 1_000_000, order: 'oldest-first' },
        { signal },
      )
      .collect(),
  );
  const endedMs = Date.now();
  agree(conversation, 'page', outcome, undefined);
  if (!outcome.value) return [];
  const { messages, result } = outcome.value;
  const view = viewOf(conversation, user);
  const floor = Number(result.floorSeq);
  checkFloor(
    conversation,
    user === '' ? conversation.floor : (view?.floor ?? 1),
    floor,
    endedMs,
    user,
  );
  const lastSeq = user === '' ? conversation.lastSeq : view?.lastSeq;
  if (Number(result.lastSeq) !== lastSeq) {
    throw new Error(
      `${keyOf(conversation.name)}: ends at ${result.lastSeq} for ${user}, not ${lastSeq}`,
    );
  }
  if (result.revision < conversation.revision) {
    throw new Error(
      `${keyOf(conversation.name)}: revision ${result.revision} after ${conversation.revision}`,
    );
  }
  conversation.revision = result.revision;
  const isFloorOfAll = user === '' || floor > (view?.floor ?? 1);
  if (isFloorOfAll) {
    conversation.floor = Math.max(conversation.floor, floor);
    conversation.retentions.clear();
  }
  const got = new Set(messages.map(({ seq }) => Number(seq)));
  const all = (nowMs: number) =>
    user === ''
      ? conversation.messages
          .slice(floor - 1)
          .filter(({ expiresAtMs: at }) => at === 0 || at > nowMs)
      : seenBy(conversation, user, floor, nowMs);
  const [before, after] = [all(beganMs), all(endedMs)];
  const lost = after.filter(({ seq }) => !got.has(seq));
  const allowed = new Set(before.map(({ seq }) => seq));
  const more = [...got].filter((seq) => !allowed.has(seq));
  if (lost.length + more.length > 0) {
    throw new Error(
      `${keyOf(conversation.name)}: ${user || 'a service'} misses ${lost.map(({ seq }) => seq)} and sees ${more}`,
    );
  }
  return messages;
}

/** Waits until a sweep has removed what was due when this began. */
export async function checkSwept(asking: Asking, conversation: ModelConversation): Promise<void> {
  const { life, random, signal } = asking;
  const { group } = conversation.name;
  const due = conversation.floorAt(Date.now());
  if (group === undefined || conversation.deleted || due === conversation.floor) return;
  const endMs = Date.now() + sweptMs;
  for (;;) {
    const { value } = await life.call(random, signal, async ({ history }) => {
      const page = history.sync({ group, count: 1 }, { signal });
      return Number((await page.collect()).result.floorSeq);
    });
    if (value === undefined || value >= due) return;
    if (Date.now() > endMs) {
      throw new Error(`${keyOf(conversation.name)}: the floor is ${value}, not ${due}`);
    }
    await pause(signal);
  }
}

/**
 * Longest until a sweep comes by, in milliseconds: a replica that was killed may have left the lease for
 * a minute.
 */
export const sweptMs = 120_000;

async function checkMembers(
  { life, random, signal }: Asking,
  conversation: ModelConversation,
  group: string,
): Promise<void> {
  const outcome = await life.call(random, signal, async ({ directory }) => {
    const pageSize = random.between(50, 1_000);
    return Array.fromAsync(directory.members({ group, pageSize }, { signal }));
  });
  const got = outcome.value?.map(({ user, role, readSeq, deliveredSeq }) =>
    [user, role, readSeq, deliveredSeq].join(' '),
  );
  const due = membersOf(conversation).map((user) => {
    const { read, delivered } = viewOf(conversation, user) ?? {};
    return [user, conversation.members.get(user)?.role, read, delivered].join(' ');
  });
  differ(`${keyOf(conversation.name)}: members`, got ?? [], due);
}

/** Lists a user's inbox and holds it to the model. */
export async function checkInbox(
  { life, random, signal }: Asking,
  user: string,
  conversations: readonly ModelConversation[],
): Promise<void> {
  const due = new Map(
    conversations
      .filter(({ deleted, members }) => !deleted && members.has(user))
      .map((conversation) => [listedAs(conversation, user), conversation]),
  );
  const beganMs = Date.now();
  const outcome = await life.call(random, signal, ({ history }) =>
    history.inbox({ user, pageSize: random.between(20, 1_000) }, { signal }).collect(),
  );
  const endedMs = Date.now();
  const entries = outcome.value?.conversations ?? [];
  const names = entries.map(({ conversation: { case: kind, value } }) => `${kind} ${value}`);
  differ(`inbox of ${user}`, names, [...due.keys()]);
  for (const [index, entry] of entries.entries()) {
    const conversation = due.get(names[index] ?? '');
    const view = conversation && viewOf(conversation, user);
    if (!conversation || !view) continue;
    const floor = Number(entry.floorSeq);
    checkFloor(conversation, view.floor, floor, endedMs, user);
    const isGroup = conversation.name.group !== undefined;
    const isMember = conversation.isMember(user);
    const state = isMember ? MemberState.MEMBER : MemberState.FORMER;
    const { title, lastSeq, epoch, marks } = entry;
    const { read, delivered } = view;
    const got = [title, lastSeq, epoch, marks?.readSeq, marks?.deliveredSeq, entry.state].join();
    const standing = isGroup ? state : MemberState.UNSPECIFIED;
    const leftTitle = conversation.members.get(user)?.leftTitle;
    const seenTitle = isMember ? conversation.title : leftTitle;
    const told = [seenTitle, view.lastSeq, view.epoch, read, delivered, standing].join();
    if (got !== told) {
      throw new Error(`${keyOf(conversation.name)} in the inbox of ${user}: ${got}, not ${told}`);
    }
    checkMoment(conversation, user, entry, floor, [beganMs, endedMs]);
  }
}

/** What changes by itself as messages vanish: it is right for some moment of the call. */
function checkMoment(
  conversation: ModelConversation,
  user: string,
  entry: { readonly unreadCount: number; readonly lastMessage?: Message | undefined },
  floor: number,
  [beganMs, endedMs]: readonly [number, number],
): void {
  const unread = [beganMs, endedMs].map((nowMs) => unreadOf(conversation, user, floor, nowMs));
  const newest = [beganMs, endedMs].map(
    (nowMs) => newestOf(conversation, user, floor, nowMs)?.seq ?? 0,
  );
  const seq = Number(entry.lastMessage?.seq ?? 0);
  const where = `${keyOf(conversation.name)} in the inbox of ${user}`;
  if (!between(entry.unreadCount, unread)) {
    throw new Error(`${where}: ${entry.unreadCount} unread, not ${unread}`);
  }
  if (!between(seq, newest)) throw new Error(`${where}: last is ${seq}, not ${newest}`);
  if (entry.lastMessage) checkMessage(conversation, entry.lastMessage);
}

function between(value: number, [high = 0, low = 0]: readonly number[]): boolean {
  return value <= high && value >= low;
}

/** Whoever never was in a group learns nothing of it. */
export async function checkStranger(
  { life, random, signal }: Asking,
  conversation: ModelConversation,
  user: string,
): Promise<void> {
  const outcome = await life.call(random, signal, ({ history }) =>
    history.sync({ ...addressOf(conversation, user), count: 1 }, { signal }).collect(),
  );
  agree(conversation, `page of ${user}`, outcome, 'NOT_A_MEMBER');
}

/** A conversation's name in one user's inbox. */
export function listedAs({ name }: ModelConversation, user: string): string {
  if (name.group !== undefined) return `group ${name.group}`;
  const [a, b] = name.pair;
  return `peer ${a === user ? b : a}`;
}

/** Throws where two lists differ, their order apart. */
function differ(what: string, got: readonly string[], due: readonly string[]): void {
  const [gotSet, dueSet] = [new Set(got), new Set(due)];
  const more = [...gotSet].filter((one) => !dueSet.has(one));
  const lost = [...dueSet].filter((one) => !gotSet.has(one));
  if (more.length + lost.length === 0 && got.length === due.length) return;
  throw new Error(`${what}: has [${more.slice(0, 5)}] and lacks [${lost.slice(0, 5)}]`);
}
