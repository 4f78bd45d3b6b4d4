import { spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  Device,
  type LocalMessage,
  type ReadOptions,
  type ReadSession,
} from '../../../clients/device/index.ts';
import { BackscrollError } from '../../../clients/errors.ts';
import { HistoryRelay } from '../history-relay.ts';
import type { Random } from '../random.ts';
import { type Push, person } from './device-town.ts';
import { Gate } from './gate.ts';

/** Most sessions that a device keeps open. */
const mostSessions = 5;

/** Most messages on their way to a device: of more, some never arrive. */
const mostPushes = 200;

/** A session, and whether what it hands over stands in its order. */
export interface OpenSession {
  readonly session: ReadSession;
  busy: boolean;
}

/** What was said on a device, in order: by the place's key, and who said it where others did beside. */
export type Said = Map<string, string[]>;

/** A copy of a database, and what had been said in it. */
export interface Copy {
  readonly path: string;
  readonly said: Said;
}

/** A device of the person's, which may be shut, killed, wiped or put back to an older state. */
export class OwnedDevice implements AsyncDisposable {
  readonly name: string;
  readonly relay: HistoryRelay;
  /** Sessions enter beside others, whoever changes the database as a whole alone. */
  readonly gate = new Gate();
  readonly pushes: Push[] = [];
  /** What must stand in the service once the outbox is empty. */
  said: Said = new Map();
  /** What the device failed with by itself, without an excuse. */
  readonly faults: unknown[] = [];
  device!: Device;
  path = '';
  sessions: OpenSession[] = [];
  /** Told each message that the service took from the outbox. */
  onSent: (id: string, seq: number) => void = () => {};
  readonly #folder: string;
  #files = 0;

  private constructor(name: string, folder: string, relay: HistoryRelay) {
    this.name = name;
    this.#folder = folder;
    this.relay = relay;
  }

  /** A new device, whose calls break at random as long as `random` says. */
  static async make(name: string, folder: string, address: string): Promise<OwnedDevice> {
    const owned = new OwnedDevice(name, folder, await HistoryRelay.start(address));
    owned.path = owned.file();
    await owned.open();
    return owned;
  }

  /** The path of a file that is not there yet. */
  file(): string {
    this.#files++;
    return join(this.#folder, `${this.name}-${this.#files}.db`);
  }

  /** Lets calls break in the middle from now on, seldom; undefined: no more. */
  disturb(random: Random | undefined): void {
    this.relay.isCut = false;
    this.relay.watch =
      random &&
      (() => {
        if (random.oneIn(40)) throw new Error('broken on the way');
      });
  }

  /** Opens the database, and lets the device work by itself. */
  async open(): Promise<void> {
    this.device = await Device.open({
      ...{ database: this.path, user: person },
      ...{ history: this.relay.address, backup: '127.0.0.1:1' },
    });
    this.device.on('problem', (error) => {
      if (!isExcused(error)) this.faults.push(error);
    });
    this.device.on('sent', (id, seq) => this.onSent(id, seq));
    this.device.start();
  }

  /** Closes it; sessions are gone with it. */
  async close(): Promise<void> {
    this.sessions = [];
    await this.device.close();
  }

  /** As if its process had been killed at this moment: what it had not written is lost, and all it did. */
  async crash(): Promise<void> {
    const [before, after] = [this.path, this.file()];
    // By another process: this one has the files open in SQLite, whose locks would be lost.
    for (const end of ['', '-wal']) {
      const { status, stderr } = spawnSync('cp', [`${before}${end}`, `${after}${end}`]);
      if (status !== 0) throw new Error(`${stderr}`);
    }
    await this.close();
    this.path = after;
    await this.open();
    await remove(before);
  }

  /** As new. */
  async wipe(): Promise<void> {
    await this.close();
    await remove(this.path);
    this.said = new Map();
    this.pushes.length = 0;
    this.path = this.file();
    await this.open();
  }

  /** Copies the database while all goes on. */
  async backUp(): Promise<Copy> {
    // What is said while the copy is made may be in it or not.
    const said = structuredClone(this.said);
    const path = await this.device.backupDatabase(this.file());
    if (path === null) throw new Error(`no backup: ${this.device.lastError}`);
    return { path, said };
  }

  /** Puts a copy back, of whichever device. */
  async restore(copy: Copy): Promise<void> {
    this.sessions = [];
    await this.device.stop();
    const code = await this.device.restoreDatabase(copy.path);
    if (code !== 0) throw new Error(`restoring came to ${code}: ${this.device.lastError}`);
    this.said = structuredClone(copy.said);
    this.device.start();
  }

  /** Begins to read. */
  read(options: ReadOptions): void {
    const rises = options.order === 'oldest-first';
    let last: number | undefined;
    const waited = new Set<string>();
    const listen = ({ id, seq }: LocalMessage) => {
      if (waited.has(id)) this.faults.push(new Error(`${id}, which waited, came once more`));
      if (seq === undefined) {
        waited.add(id);
        return;
      }
      if (last !== undefined && (rises ? seq <= last : seq >= last)) {
        this.faults.push(new Error(`${seq} came after ${last} in ${JSON.stringify(options)}`));
      }
      last = seq;
    };
    if (this.sessions.length >= mostSessions) this.sessions.shift();
    this.sessions.push({ session: this.device.readSession(options, listen), busy: false });
  }

  /** A message is on its way here. */
  push(push: Push): void {
    this.pushes.push(push);
    if (this.pushes.length > mostPushes) this.pushes.shift();
  }

  /** Notes what was said. */
  say(key: string, id: string): void {
    const ids = this.said.get(key) ?? [];
    this.said.set(key, ids);
    ids.push(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.device.close();
    await this.relay[Symbol.asyncDispose]();
  }
}

/** Whether a kill or a broken connection excuses what a device failed with. */
function isExcused(error: unknown): boolean {
  return error instanceof BackscrollError && [1, 14].includes(error.code);
}

async function remove(path: string): Promise<void> {
  for (const end of ['', '-wal', '-shm']) await rm(`${path}${end}`, { force: true });
}
