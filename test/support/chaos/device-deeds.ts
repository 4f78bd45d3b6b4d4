import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ReadOptions } from '../../../clients/device/index.ts';
import type { MessageKind } from '../../../clients/history/history-requests.ts';
import { TestProcess } from '../processes.ts';
import type { Random } from '../random.ts';
import { type DeviceTown, noMember, type Place, person } from './device-town.ts';
import { randomContent } from './messages.ts';
import type { Copy, OpenSession, OwnedDevice } from './owned-device.ts';

/** One random thing that the person does with one device. */
export type Use = (use: Using) => Promise<void>;

/** What a use works with. */
export interface Using {
  readonly town: DeviceTown;
  readonly owned: OwnedDevice;
  /** Backups of all devices. */
  readonly copies: Copy[];
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** The device that is new again and again. */
export const newcomer = 'newcomer';

/** Most backups that are kept: older ones are put back, too. */
const mostCopies = 12;

const begin: Use = async ({ town, owned, random }) => {
  owned.read(randomOptions(random, random.pick(town.places)));
};

function randomOptions(random: Random, { name }: Place): ReadOptions {
  const kinds: MessageKind[] = [
    ...(['text', 'file', 'call', 'missed-call', 'incoming-call', 'outgoing-call'] as const),
  ];
  const some = Array.from({ length: random.between(1, 2) }, () => random.pick(kinds));
  return {
    ...name,
    order: random.oneIn(3) ? 'oldest-first' : 'newest-first',
    ...(random.oneIn(4) && { kinds: some }),
    ...(random.oneIn(8) && { thread: 'thread' }),
    unread: random.oneIn(10),
    receipts: random.oneIn(4),
    acrossHoles: random.oneIn(10),
  };
}

const readSome: Use = withSession(async ({ session }, { random }) => {
  session.read(random.between(1, 40));
});

const sync: Use = withSession(async ({ session }, { town, owned, random, signal }) => {
  const count = random.oneIn(10) ? random.between(200, 1_200) : random.between(0, 40);
  const fetch = async () => {
    const readable = await session.sync(count);
    if (readable > count) throw new Error(`${readable} of ${count} can be read`);
    session.read(readable);
  };
  await town.call(signal, owned.name, fetch, noMember);
});

const more: Use = withSession(async ({ session }, { town, owned, random, signal }) => {
  await town.call(signal, owned.name, () => session.more(random.between(1, 60)), noMember);
});

function withSession(use: (open: OpenSession, using: Using) => Promise<void>): Use {
  return async (using) => {
    const { sessions } = using.owned;
    if (sessions.length === 0) return begin(using);
    const open = using.random.pick(sessions);
    if (open.busy) return;
    open.busy = true;
    try {
      await use(open, using);
    } finally {
      open.busy = false;
    }
  };
}

/** Some of what is on its way arrives: mostly in order, at times late, twice or never. */
const receive: Use = async ({ owned, random }) => {
  const { pushes, device } = owned;
  for (let n = random.between(1, 8); n > 0 && pushes.length > 0; n--) {
    const index = random.oneIn(5) ? random.between(0, pushes.length - 1) : 0;
    const [push] = random.oneIn(10) ? [pushes[index]!] : pushes.splice(index, 1);
    if (!push || random.oneIn(8)) continue;
    device.receive(push.where.name, push.message);
  }
};

const say: Use = async ({ town, owned, random }) => {
  const place = random.pick(town.places);
  for (let n = random.oneIn(10) ? random.between(1, 150) : 1; n > 0; n--) {
    const id = `${town.fresh(owned.name)}`;
    owned.device.append(place.name, { id, content: randomContent(random, id) });
    owned.say(place.key, id);
    town.said(id, place);
  }
};

const edit: Use = async ({ town, owned, random, signal }) => {
  const place = random.pick(town.places);
  const seq = ownSeq(place, random);
  const content = randomContent(random, town.fresh('edit'));
  await town.call(signal, owned.name, () => owned.device.edit(place.name, seq, content));
};

const remove: Use = async ({ town, owned, random, signal }) => {
  const place = random.pick(town.places.filter(({ name }) => name.peer !== person));
  const scope = random.pick(['for-me', 'for-everyone'] as const);
  const what = random.oneIn(30)
    ? { upToSeq: Math.ceil(place.senders.size / 3) || 1 }
    : { seqs: [ownSeq(place, random), ownSeq(place, random)] };
  await town.call(signal, owned.name, () =>
    owned.device.deleteMessages(place.name, { scope, ...what }),
  );
};

function ownSeq({ senders }: Place, random: Random): number {
  const own = [...senders].filter(([, sender]) => sender === person).slice(-80);
  return own.length > 0 ? random.pick(own)[0] : 1;
}

const refresh: Use = async ({ town, owned, signal }) => {
  await town.call(signal, owned.name, () => owned.device.refresh(), []);
};

const markRead: Use = async ({ town, owned, random }) => {
  owned.device.markRead(random.pick(town.places).name);
};

const cut: Use = async ({ owned, random }) => {
  owned.relay.isCut = !owned.relay.isCut && random.oneIn(2);
};

/** Uses that go on beside others, and how often among all. */
const shared: readonly (readonly [number, Use])[] = [
  [20, begin],
  [70, readSome],
  [40, sync],
  [30, more],
  [50, receive],
  [16, say],
  [6, edit],
  [4, remove],
  [4, refresh],
  [6, markRead],
  [4, cut],
];

const reopen: Use = async ({ owned }) => {
  await owned.close();
  await owned.open();
};

/** Pages are on their way when it happens. */
const crash: Use = async ({ owned, random }) => {
  const flying = owned.sessions.map(({ session }) => session.more(300).catch(() => {}));
  for (let n = random.between(0, 30); n > 0; n--) await setImmediate();
  await owned.crash();
  await Promise.all(flying);
};

/** One device is ever new. */
const wipe: Use = async ({ owned, random }) => {
  if (owned.name === newcomer || random.oneIn(6)) await owned.wipe();
};

const backUp: Use = async ({ owned, copies, random }) => {
  const copy = await owned.backUp();
  if (copies.length < mostCopies) copies.push(copy);
  else copies[random.between(0, mostCopies - 1)] = copy;
};

const restore: Use = async ({ owned, copies, random }) => {
  if (copies.length > 0) await owned.restore(random.pick(copies));
};

/** The program of a device that is killed. */
const child = fileURLToPath(new URL('./device-child.ts', import.meta.url));
const endWithParent = fileURLToPath(new URL('../end-with-parent.ts', import.meta.url));

/** A process of its own works with the database, too, and is killed at some moment. */
const accompany: Use = async ({ town, owned, random }) => {
  const name = town.fresh('child');
  await using process = new TestProcess(
    [
      ...['--import', endWithParent, child, owned.path, person, owned.relay.address],
      ...[`${random.uint32()}`, JSON.stringify(town.places.map(({ name }) => name))],
      name,
    ],
    { END_WITH_PARENT: `${globalThis.process.pid}` },
  );
  const lines = random.between(1, 120);
  while (process.stdout.split('\n').length <= lines) {
    if (process.child.exitCode !== null) throw new Error(`it ended: ${process.stderr}`);
    await Promise.race([once(process.child.stdout!, 'data'), process.exited]);
  }
  const { signal } = await process.kill();
  if (signal !== 'SIGKILL') throw new Error(`it ended by itself: ${process.stderr}`);
  // The last line may have been cut; what was said behind it is in the outbox all the same.
  for (const line of process.stdout.split('\n').slice(0, -1)) {
    const [key, id] = JSON.parse(line) as [string, string];
    if (id !== '') owned.say(`${key} ${name}`, id);
  }
};

/** As `accompany`, with nobody else in the database. */
const kill: Use = async (using) => {
  await using.owned.close();
  await accompany(using);
  await using.owned.open();
};

/** Uses of the whole device, and how often. */
const alone: readonly (readonly [number, Use])[] = [
  [30, reopen],
  [30, crash],
  [8, wipe],
  [10, backUp],
  [6, restore],
  [2, kill],
];

const spread = (mix: readonly (readonly [number, Use])[]) =>
  mix.flatMap(([often, use]) => Array<Use>(often).fill(use));

const sharedUses = spread(shared);
const aloneUses = spread(alone);

/** Does some random thing with a device. */
export async function useDevice(using: Using): Promise<void> {
  const { owned, random } = using;
  const isAlone = random.oneIn(120);
  const isBeside = !isAlone && random.oneIn(3_000);
  const use = isBeside ? accompany : random.pick(isAlone ? aloneUses : sharedUses);
  using _ = await owned.gate.enter(isAlone);
  try {
    await use(using);
  } catch (error) {
    throw new Error(`${owned.name}: ${use.name || 'a session'} failed`, { cause: error });
  }
  const [fault] = owned.faults;
  if (fault) throw new Error(`${owned.name} failed by itself`, { cause: fault });
}
