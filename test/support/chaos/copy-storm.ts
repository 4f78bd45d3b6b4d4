import type { Random } from '../random.ts';
import {
  deleteForEveryone,
  deleteForEveryoneUpTo,
  deleteForMe,
  deleteForMeUpTo,
  mark,
} from './copy-deletes.ts';
import {
  addMembers,
  adopt,
  begin,
  deleteGroup,
  leaveAmongAppends,
  removeMember,
  setRole,
  update,
} from './copy-groups.ts';
import { Life } from './copy-life.ts';
import type { ModelConversation } from './copy-model.ts';
import { erase, profile, refresh } from './copy-people.ts';
import { readPage } from './copy-reads.ts';
import { type Read, survey } from './copy-survey.ts';
import { append, appendFleeting, edit, importRun, type Operation } from './copy-writes.ts';
import type { Check, Storm } from './storm.ts';

/** Operations under way at a time. */
const workers = 32;

/** What happens, and how often among all. */
const mix: readonly (readonly [number, Operation])[] = [
  [300, append],
  [20, appendFleeting],
  [20, importRun],
  [110, edit],
  [60, deleteForEveryone],
  [5, deleteForEveryoneUpTo],
  [50, deleteForMe],
  [5, deleteForMeUpTo],
  [100, mark],
  [35, addMembers],
  [35, removeMember],
  [20, setRole],
  [15, update],
  [15, begin],
  [5, adopt],
  [4, deleteGroup],
  [10, leaveAmongAppends],
  [90, readPage],
  [60, refresh],
  [10, profile],
  [1, erase],
];

const operations = mix.flatMap(([often, operation]) => Array<Operation>(often).fill(operation));

/**
 * A history service under all that people do with it: many of them at once, with devices that keep
 * copies. A plain model of what was acknowledged says what must then be there.
 */
export class CopyStorm implements Storm, Disposable {
  readonly name: string;
  readonly life: Life;
  readonly victims: Storm['victims'];
  readonly triggers: Storm['triggers'];
  /** Operations that were carried out so far. */
  done = 0;
  readonly #read: Read = new Map();

  /** `addresses`: of replicas over one database; `most`: operations between two kills. */
  constructor(name: string, addresses: readonly string[], victims: Storm['victims'], most: number) {
    this.name = name;
    this.triggers = [{ what: 'operation done', most }];
    this.life = new Life(addresses);
    this.victims = victims;
    const { life } = this;
    for (const [index, user] of life.people.entries()) life.addReader(user, index % 2 === 0);
    for (const user of life.people.slice(0, 6)) life.addReader(user, false);
    for (let n = 0; n < 6; n++) life.open({ group: life.fresh('group') }, life.own);
    for (let n = 0; n < 24; n++) {
      const [a = '', b = ''] = [life.people[n], life.people[(n * 7) % life.people.length]].sort();
      life.open({ pair: [a, b] }, life.own);
    }
  }

  get activity() {
    return this.life.activity;
  }

  async work(random: Random, over: () => boolean, signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const worker = async (own: Random) => {
      while (!over() && !either.aborted) await this.#operate(own, either);
    };
    const all = Array.from({ length: workers }, () => worker(random.fork()));
    for (const one of all) one.catch((error: unknown) => failed.abort(error));
    await Promise.all(all);
  }

  async #operate(random: Random, signal: AbortSignal): Promise<void> {
    const operation = random.pick(operations);
    using _inside = await this.life.door.enter(operation === erase);
    using _counted = this.activity.begin('operation');
    try {
      await operation(this.life, random, signal);
    } catch (error) {
      throw new Error(`${operation.name} failed`, { cause: error });
    }
    this.done++;
    this.activity.happened('operation done');
  }

  check(signal: AbortSignal): Promise<Check> {
    const { life } = this;
    const touched = [...life.dirty];
    const users = new Set([...life.people, ...life.touchedUsers]);
    return this.#check(touched, users, signal);
  }

  recheck(signal: AbortSignal): Promise<Check> {
    const all = [...this.life.conversations.values()];
    const users = new Set(all.flatMap(({ members }) => [...members.keys()]));
    return this.#check(all, new Set([...this.life.people, ...users]), signal);
  }

  async #check(
    conversations: readonly ModelConversation[],
    users: Set<string>,
    signal: AbortSignal,
  ): Promise<Check> {
    const { life } = this;
    users.delete('');
    const asking = { life, random: life.random, signal };
    const faults = await survey(asking, conversations, users, this.#read);
    life.dirty.clear();
    life.touchedUsers.clear();
    const checked =
      `${conversations.length} conversations, ${users.size} users and ` +
      `${[...life.readers.values()].flat().length} devices after ${this.done} operations`;
    return { faults, checked };
  }

  [Symbol.dispose](): void {
    this.life[Symbol.dispose]();
  }
}
