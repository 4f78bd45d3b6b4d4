import {
  HistoryVisibility,
  Role,
} from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { CreateGroupInit } from '../../../clients/history/directory-client.ts';
import type { Random } from '../random.ts';
import { listedAs } from './copy-checks.ts';
import { addressOf, agree, type Life, membersOf } from './copy-life.ts';
import { keyOf, type ModelConversation } from './copy-model.ts';
import { News } from './copy-people.ts';
import { anybody, keep, newMessage, type Operation, say } from './copy-writes.ts';

/** Most groups of the storm's own that stand at a time. */
const mostGroups = 14;

/** Creates a group, or another pair to talk in. */
export const begin: Operation = async (life, random, signal) => {
  if (random.oneIn(3)) {
    const pair = [random.pick(life.people), random.pick(life.people)].sort() as [string, string];
    life.open({ pair }, life.own);
    return;
  }
  const standing = life.own.filter(({ name, deleted }) => name.group !== undefined && !deleted);
  if (standing.length >= mostGroups) return;
  const conversation = life.open({ group: life.fresh('group') }, life.own);
  using _ = await life.enter(conversation, true);
  // Some groups come into being by their messages alone.
  if (!random.oneIn(4)) await create(life, random, conversation, signal);
};

/** Takes over a group that came into being by its messages. */
export const adopt: Operation = async (life, random, signal) => {
  const candidates = life.own.filter(
    ({ name, created, deleted }) => name.group !== undefined && !created && !deleted,
  );
  if (candidates.length === 0) return;
  const conversation = random.pick(candidates);
  using _ = await life.enter(conversation, true);
  if (!conversation.created) await create(life, random, conversation, signal);
};

async function create(
  life: Life,
  random: Random,
  conversation: ModelConversation,
  signal: AbortSignal,
): Promise<void> {
  const { group = '' } = conversation.name;
  const members = somePeople(life, random, 8).map((user) => ({ user, role: anyRole(random) }));
  const settings = randomVisibility(random);
  const request = { group, title: life.fresh('title'), ...settings.request, members };
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.createGroup(request, { signal }),
  );
  agree(conversation, 'create', outcome, undefined);
  conversation.created = true;
  conversation.title = request.title;
  conversation.visible = settings.visible;
  // What a service had set before somebody created the group no longer holds.
  conversation.retain(0);
  for (const { user, role } of members) {
    const member = conversation.members.get(user);
    if (member && member.role > 0) member.role = role;
    else conversation.join(user, role, 1);
    life.touchedUsers.add(user);
  }
}

/** Adds members by a service, a moderator, or somebody who may not. */
export const addMembers: Operation = async (life, random, signal) => {
  const conversation = life.pickGroup(random);
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  if (!conversation.created && conversation.lastSeq === 0) return;
  const user = actor(life, random, conversation);
  const members = somePeople(life, random, 3).map((name) => ({
    user: name,
    role: random.oneIn(4) ? anyRole(random) : 1,
  }));
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.addMembers({ group, user, members }, { signal }),
  );
  const highest = Math.max(...members.map(({ role }) => role));
  agree(conversation, 'add', outcome, roleRefusal(conversation, user, Math.max(2, highest)));
  if (!outcome.value) return;
  const from = conversation.newcomersFrom;
  for (const { user: name, role } of members) {
    conversation.join(name, role, from);
    life.touchedUsers.add(name);
  }
};

/** Somebody leaves, or is removed. */
export const removeMember: Operation = async (life, random, signal) => {
  const conversation = life.pickGroup(random);
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  if (!conversation.created && conversation.lastSeq === 0) return;
  const name = anybody(life, random, conversation);
  const user = random.oneIn(2) ? name : actor(life, random, conversation);
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.removeMembers({ group, user, members: [name] }, { signal }),
  );
  agree(conversation, 'remove', outcome, removeRefusal(conversation, user, name));
  if (!outcome.value) return;
  conversation.leave(name);
  life.touchedUsers.add(name);
};

function removeRefusal(conversation: ModelConversation, user: string, name: string) {
  const stranger = user !== '' && !conversation.members.has(user);
  if (user === name && !conversation.deleted) return stranger ? 'NOT_A_MEMBER' : undefined;
  const refused = roleRefusal(conversation, user, 2);
  if (refused !== undefined) return refused;
  const role = user === '' ? 3 : (conversation.members.get(user)?.role ?? 0);
  const theirs = conversation.members.get(name)?.role ?? 0;
  return theirs === 0 || theirs < role || role === 3 ? undefined : 'ROLE_TOO_LOW';
}

/** Gives somebody a role. */
export const setRole: Operation = async (life, random, signal) => {
  const conversation = life.pickGroup(random);
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  if (!conversation.created) return;
  const user = actor(life, random, conversation);
  const member = anybody(life, random, conversation);
  const role = anyRole(random);
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.setRole({ group, user, member, role }, { signal }),
  );
  const found = conversation.members.get(member);
  const same = user === member && found?.role === role && !conversation.deleted;
  const refused = roleRefusal(conversation, user, 3);
  const missing = !found || found.role === 0 ? 'MEMBER_NOT_FOUND' : undefined;
  agree(conversation, 'role', outcome, same ? undefined : (refused ?? missing));
  if (outcome.reason === undefined && found) found.role = role;
  life.touchedUsers.add(member);
};

/** Renames a group, or changes who sees what, or for how long messages are kept. */
export const update: Operation = async (life, random, signal) => {
  const conversation = random.oneIn(4) ? life.pickGroup(random) : ownGroup(life, random);
  if (!conversation) return;
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  if (!conversation.created && conversation.lastSeq === 0) return;
  const user = actor(life, random, conversation);
  const settings = randomVisibility(random);
  const shrinks = life.own.includes(conversation) && random.oneIn(3);
  const retentionS = random.pick([0, 0, 3, 60, 86_400]);
  const title = life.fresh('title');
  const request = {
    ...{ group, user, title },
    ...(random.oneIn(2) && settings.request),
    ...(shrinks && { retentionS: BigInt(retentionS) }),
  };
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.updateGroup(request, { signal }),
  );
  agree(conversation, 'update', outcome, roleRefusal(conversation, user, 3));
  // A kill may have left it half-heard: from the first try on it may be in force.
  if (!outcome.value) return;
  conversation.title = title;
  if ('historyVisibility' in request) conversation.visible = settings.visible;
  if (shrinks) conversation.retain(retentionS);
};

/** Deletes a group of the storm's own for everyone, of which somebody in it learns at once. */
export const deleteGroup: Operation = async (life, random, signal) => {
  const conversation = ownGroup(life, random);
  if (!conversation) return;
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  if (!conversation.created) return;
  const user = actor(life, random, conversation);
  const somebody = random.pick([...conversation.members.keys(), '']);
  const news = conversation.deleted || somebody === '' ? undefined : new News(life, somebody);
  await news?.look(random, signal);
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.deleteGroup({ group, user }, { signal }),
  );
  const refused =
    conversation.deleted && user === '' ? undefined : roleRefusal(conversation, user, 3);
  // An owner who did not hear that it is done is no member of anything any more; nor is one whose group was deleted before.
  agree(
    conversation,
    'delete',
    outcome,
    refused,
    ...(conversation.deleted ? [undefined] : []),
    'NOT_A_MEMBER',
  );
  if (refused !== undefined) return;
  conversation.deleted = true;
  for (const name of conversation.members.keys()) life.touchedUsers.add(name);
  if (outcome.reason !== undefined || !news) return;
  const told = await news.look(random, signal);
  if (told.get(listedAs(conversation, somebody)) !== MemberState.GONE) {
    throw new Error(`${somebody} was not told at once that ${group} is gone`);
  }
};

/** Somebody leaves while others append: what they still see, the service decides. */
export const leaveAmongAppends: Operation = async (life, random, signal) => {
  const conversation = life.pickGroup(random);
  using _ = await life.enter(conversation, true);
  const { group = '' } = conversation.name;
  const members = membersOf(conversation);
  if (conversation.deleted || conversation.isShort || members.length < 3) return;
  const leaver = random.pick(members);
  const others = members.filter((user) => user !== leaver);
  const before = conversation.lastSeq;
  const opened = conversation.members.get(leaver)?.intervals.at(-1)?.from ?? 1;
  const appends = Array.from({ length: 4 }, async () => {
    const messages = [newMessage(life, random, random.pick(others))];
    const outcome = await say(life, random, conversation, messages, signal);
    agree(conversation, 'append', outcome, undefined);
    if (outcome.value) keep(life, conversation, messages, outcome.value);
  });
  const leaving = life.call(random, signal, ({ directory }) =>
    directory.removeMembers({ group, user: leaver, members: [leaver] }, { signal }),
  );
  await Promise.all([leaving, ...appends]);
  agree(conversation, 'leave', await leaving, undefined);
  const { value } = await life.call(random, signal, async ({ history }) => {
    const page = history.sync({ ...addressOf(conversation, leaver), count: 1 }, { signal });
    return Number((await page.collect()).result.lastSeq);
  });
  if (value === undefined) throw new Error(`${leaver} sees nothing of ${group} any more`);
  const none = value < opened;
  if (value > conversation.lastSeq || (none ? opened <= before : value < before)) {
    throw new Error(
      `${keyOf(conversation.name)}: ${leaver} left after ${value}, at ${before} or later`,
    );
  }
  conversation.leave(leaver, none ? opened - 1 : value);
  life.touchedUsers.add(leaver);
};

function roleRefusal({ deleted, members }: ModelConversation, user: string, atLeast: number) {
  if (user === '') return deleted ? 'GROUP_NOT_FOUND' : undefined;
  const role = members.get(user)?.role ?? 0;
  if (deleted || role === 0) return 'NOT_A_MEMBER';
  return role < atLeast ? 'ROLE_TOO_LOW' : undefined;
}

/** Who acts in a group: mostly a service or somebody who may. */
function actor(life: Life, random: Random, conversation: ModelConversation): string {
  if (random.oneIn(3)) return '';
  const mighty = membersOf(conversation).filter(
    (user) => (conversation.members.get(user)?.role ?? 0) > 1,
  );
  if (mighty.length > 0 && !random.oneIn(3)) return random.pick(mighty);
  return anybody(life, random, conversation);
}

function ownGroup(life: Life, random: Random): ModelConversation | undefined {
  const groups = life.own.filter(
    ({ name, deleted }) => name.group !== undefined && (!deleted || random.oneIn(10)),
  );
  return groups.length > 0 ? random.pick(groups) : undefined;
}

function somePeople(life: Life, random: Random, most: number): string[] {
  const people = Array.from({ length: random.between(1, most) }, () => random.pick(life.people));
  return [...new Set(people)];
}

function anyRole(random: Random): Role {
  return random.pick([Role.MEMBER, Role.MODERATOR, Role.OWNER]);
}

interface Settings {
  readonly visible: number;
  readonly request: Pick<CreateGroupInit, 'historyVisibility' | 'visibleMessages'>;
}

function randomVisibility(random: Random): Settings {
  const count = random.between(1, 30);
  return random.pick<Settings>([
    { visible: Infinity, request: { historyVisibility: HistoryVisibility.ALL } },
    { visible: 0, request: { historyVisibility: HistoryVisibility.FROM_JOINING } },
    {
      visible: count,
      request: { historyVisibility: HistoryVisibility.LAST, visibleMessages: BigInt(count) },
    },
  ]);
}
