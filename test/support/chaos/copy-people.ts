import type { MemberState } from '../../../clients/gen/backscroll/history/v1/inbox_pb.ts';
import type { Random } from '../random.ts';
import { entryKey, SecondReader } from '../second-reader.ts';
import type { Life } from './copy-life.ts';
import type { Operation } from './copy-writes.ts';

/** A person is erased: nobody else does anything meanwhile. Their devices begin anew. */
export const erase: Operation = async (life, random, signal) => {
  const user = random.pick(life.people);
  const conversations = [...life.conversations.values()].filter(
    ({ members, senders }) => members.has(user) || senders.has(user),
  );
  const outcome = await life.call(random, signal, ({ directory }) =>
    directory.eraseUser(user, { signal }),
  );
  if (outcome.reason !== undefined) throw new Error(`erasing ${user} ended in ${outcome.reason}`);
  for (const conversation of conversations) {
    conversation.erase(user);
    life.dirty.add(conversation);
  }
  life.touchedUsers.add(user);
  const devices = life.readers.get(user) ?? [];
  life.readers.set(
    user,
    devices.map(({ whole }) => new SecondReader(user, whole)),
  );
};

/** A device looks for what is new, beside all others. */
export const refresh: Operation = async (life, random, signal) => {
  const devices = random.pick([...life.readers.values()]);
  const device = random.pick(devices);
  if (life.refreshing.has(device)) return;
  life.refreshing.add(device);
  try {
    await refreshed(life, device, random, signal);
  } finally {
    life.refreshing.delete(device);
  }
};

/** Brings a device up to date, however often its calls break off. */
export async function refreshed(
  life: Life,
  device: SecondReader,
  random: Random,
  signal: AbortSignal,
): Promise<void> {
  const outcome = await life.call(random, signal, ({ history }) =>
    device.refresh(history, random, signal),
  );
  if (outcome.reason !== undefined) {
    throw new Error(`a device of ${device.user} ended in ${outcome.reason}`);
  }
}

/** Somebody changes their profile, and sees the change. */
export const profile: Operation = async (life, random, signal) => {
  const user = random.pick(life.people);
  if (life.profiling.has(user)) return;
  life.profiling.add(user);
  try {
    const displayName = life.fresh('name');
    await life.call(random, signal, ({ directory }) =>
      directory.putProfiles([{ user, displayName }], { signal }),
    );
    const { value } = await life.call(random, signal, ({ directory }) =>
      directory.getProfiles([user], { signal }),
    );
    if (value?.profiles[0]?.displayName !== displayName)
      throw new Error(`${user} has another profile`);
  } finally {
    life.profiling.delete(user);
  }
};

/** What is told to a user since it was last looked. */
export class News {
  readonly #life: Life;
  readonly #user: string;
  #since: bigint | undefined;

  constructor(life: Life, user: string) {
    this.#life = life;
    this.#user = user;
  }

  /** Conversations by how an inbox names them, with what the user is in them. */
  async look(random: Random, signal: AbortSignal): Promise<Map<string, MemberState>> {
    const since = this.#since !== undefined && { sinceUserRevision: this.#since };
    const { value } = await this.#life.call(random, signal, ({ history }) =>
      history.inbox({ user: this.#user, ...since }, { signal }).collect(),
    );
    this.#since = value?.userRevision;
    return new Map(value?.conversations.map((entry) => [entryKey(entry), entry.state]));
  }
}
