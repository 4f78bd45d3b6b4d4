import { HistoryVisibility } from '../../../clients/gen/backscroll/history/v1/directory_pb.ts';
import type { Random } from '../random.ts';
import { addressOf, type DeviceTown, friends, type Place, person } from './device-town.ts';
import { randomContent } from './messages.ts';

/** One random thing that somebody does, who may be the person elsewhere. */
export type Deed = (town: DeviceTown, random: Random, signal: AbortSignal) => Promise<void>;

const post: Deed = (town, random, signal) =>
  town.post(random.pick(town.places), random, random.between(1, 4), signal);

const talkMuch: Deed = (town, random, signal) =>
  town.post(random.pick(town.places), random, random.between(50, 300), signal);

const importOld: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  using _ = await place.gate.enter(false);
  const messages = Array.from({ length: random.between(1, 30) }, () => {
    const id = town.fresh('old');
    const sender = random.oneIn(4) ? '' : random.pick(friends.slice(0, 2));
    const sentAtMs = BigInt(random.between(-5, 1_600_000_000)) * 1_000n;
    return { id, sender, sentAtMs, content: randomContent(random, id) };
  });
  if (place.name.peer !== undefined) {
    for (const message of messages) message.sender = person;
  }
  const runs = [{ ...addressOf(place, person), messages }];
  await town.call(signal, 'an import', async () => {
    for await (const _answer of town.history.import([{ runs }], { signal }));
  });
};

const edit: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  const [seq = 1] = someSeqs(place, random, 1);
  const user = place.senders.get(seq) || person;
  const content = randomContent(random, town.fresh('edit'));
  await town.call(signal, user, () =>
    town.history.edit({ ...addressOf(place, user), user, seq, content }, { signal }),
  );
};

const deleteForEveryone: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  const seqs = someSeqs(place, random, random.between(1, 3));
  const user = place.senders.get(seqs[0] ?? 1) || person;
  const scope = 'for-everyone';
  await town.call(signal, user, () =>
    town.history.delete({ ...addressOf(place, user), scope, seqs }, { signal }),
  );
};

/** The person hides something from themself, of what others see on; what is their own alone stays. */
const hide: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  if (place.name.peer === person) return;
  const upToSeq = random.oneIn(30) ? Math.floor(lastSeqOf(place) / 2) : 0;
  const what = upToSeq > 0 ? { upToSeq } : { seqs: someSeqs(place, random, 3) };
  const request = { ...addressOf(place, person), scope: 'for-me', ...what } as const;
  await town.call(signal, person, () => town.history.delete(request, { signal }));
};

/** What somebody else hides is nothing to the person. */
const hideElsewhere: Deed = async (town, random, signal) => {
  const place = random.pick(town.places.filter(({ name }) => name.group !== undefined));
  const user = random.pick(friends);
  const seqs = someSeqs(place, random, 3);
  const request = { ...addressOf(place, user), scope: 'for-me', seqs } as const;
  await town.call(signal, user, () => town.history.delete(request, { signal }));
};

const mark: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  const user = place.members.size > 0 ? random.pick([...place.members]) : person;
  const request = { ...addressOf(place, user), user, seq: random.between(0, lastSeqOf(place)) };
  await town.call(signal, user, () =>
    random.oneIn(2)
      ? town.history.markRead(request, { signal })
      : town.history.markDelivered(request, { signal }),
  );
};

/** Somebody, often the person, joins or leaves a group. */
const joinOrLeave: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  const { group } = place.name;
  if (group === undefined) return;
  using _ = await place.gate.enter(true);
  const user = random.oneIn(2) ? person : random.pick(friends);
  const leaves = place.members.has(user);
  if (user === person) place.isIn = undefined;
  const answered = await town.call(signal, user, () =>
    leaves
      ? town.directory.removeMembers({ group, members: [user] }, { signal })
      : town.directory.addMembers({ group, members: [{ user }] }, { signal }),
  );
  if (!answered) return;
  if (leaves) place.members.delete(user);
  else place.members.add(user);
  if (user === person) place.isIn = !leaves;
};

const settings = [
  { historyVisibility: HistoryVisibility.ALL },
  { historyVisibility: HistoryVisibility.FROM_JOINING },
  { historyVisibility: HistoryVisibility.LAST, visibleMessages: 20n },
];

/** A group changes what newcomers see, and seldom for how long messages are kept. */
const change: Deed = async (town, random, signal) => {
  const place = random.pick(town.places);
  const { group } = place.name;
  if (group === undefined) return;
  const retentionS = random.oneIn(12) ? 9n : 0n;
  if (retentionS > 0n) place.retained = true;
  await town.call(signal, 'a service', () =>
    town.directory.updateGroup({ group, ...random.pick(settings), retentionS }, { signal }),
  );
};

/** One group is deleted some day; its name is not given again. */
const end: Deed = async (town, random, signal) => {
  const place = town.places.find(({ name }) => name.group === 'attic')!;
  if (place.gone || !random.oneIn(20)) return;
  using _ = await place.gate.enter(true);
  const answered = await town.call(signal, 'a service', () =>
    town.directory.deleteGroup({ group: 'attic' }, { signal }),
  );
  place.gone = answered;
};

/** What happens around the person, and how often among all. */
const mix: readonly (readonly [number, Deed])[] = [
  [40, post],
  [1, talkMuch],
  [2, importOld],
  [14, edit],
  [8, deleteForEveryone],
  [7, hide],
  [2, hideElsewhere],
  [8, mark],
  [4, joinOrLeave],
  [1, change],
  [1, end],
];

/** All that others do, and the person elsewhere. */
export const deeds = mix.flatMap(([often, deed]) => Array<Deed>(often).fill(deed));

/** Fills each place with some past. */
export async function settle(town: DeviceTown, random: Random, signal: AbortSignal): Promise<void> {
  for (const place of town.places) {
    const { group } = place.name;
    if (group !== undefined) {
      const members = friends.map((user) => ({ user }));
      await town.directory.createGroup({ group, ...random.pick(settings), members }, { signal });
      for (const user of friends) place.members.add(user);
      place.isIn = false;
    }
    for (let n = random.between(0, 3); n > 0; n--) {
      await town.post(place, random, random.between(1, 400), signal);
    }
  }
}

function lastSeqOf({ senders }: Place): number {
  return [...senders.keys()].at(-1) ?? 0;
}

/** Seqs that have a message, mostly among the last, and those that may just come to have one. */
function someSeqs(place: Place, random: Random, count: number): number[] {
  const lastSeq = Math.max(1, lastSeqOf(place));
  const from = Math.max(1, random.pick([1, lastSeq - 60, lastSeq - 5]));
  const seqs = Array.from({ length: count }, () => random.between(from, lastSeq + 2));
  return [...new Set(seqs)];
}
