import { randomUUID } from 'node:crypto';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'vitest';
import { Device, type LocalMessage, type ReadOptions } from '../../clients/device/index.ts';
import { LocalStore } from '../../clients/device/local/local-store.ts';
import { openDatabase } from '../../clients/device/local/open.ts';
import { DirectoryClient } from '../../clients/history/directory-client.ts';
import { HistoryClient } from '../../clients/history/history-client.ts';
import type { MessageInit } from '../../clients/history/history-requests.ts';
import { HistoryRelay } from '../support/history-relay.ts';
import { HistoryHarness } from './history-harness.ts';

/** The harness of the test that runs, in a file that calls `useHarness`. */
export let harness: DeviceHarness;

/** Gives every test of a file a harness of its own. */
export function useHarness(): void {
  beforeEach(async () => {
    harness = await DeviceHarness.start();
  });
  afterEach(() => harness[Symbol.asyncDispose]());
}

/** A history service, a relay before it that devices call, and clients of the service itself. */
export class DeviceHarness implements AsyncDisposable {
  readonly service: HistoryHarness;
  readonly relay: HistoryRelay;
  readonly history: HistoryClient;
  readonly directory: DirectoryClient;
  readonly #folder: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    service: HistoryHarness,
    relay: HistoryRelay,
    folder: string,
    stack: AsyncDisposableStack,
  ) {
    this.service = service;
    this.relay = relay;
    this.history = stack.use(new HistoryClient(service.server.address));
    this.directory = stack.use(new DirectoryClient(service.server.address));
    this.#folder = folder;
    this.#stack = stack;
  }

  static async start(): Promise<DeviceHarness> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await mkdtempDisposable(join(tmpdir(), 'device-')));
    const service = stack.use(await HistoryHarness.start('sqlite'));
    const relay = stack.use(await HistoryRelay.start(service.server.address));
    return new DeviceHarness(service, relay, folder.path, stack.move());
  }

  /** A path where no database is yet. */
  path(): string {
    return join(this.#folder, `${randomUUID()}.db`);
  }

  /** A device of a user, new unless a database is named. */
  open(user: string, database = this.path()): Promise<Device> {
    return Device.open({ database, user, history: this.relay.address, backup: '127.0.0.1:1' });
  }

  /** Looks into a database beside the devices that have it open. */
  look(user: string, database: string): LocalStore {
    return new LocalStore(openDatabase(database, user), user);
  }

  /** Stores messages as a service, at the end of a conversation of `alice` and `bob` unless told otherwise. */
  async say(messages: readonly MessageInit[], where: Where = PAIR): Promise<void> {
    for (let n = 0; n < messages.length; n += 500) {
      await this.history.append({ ...where, messages: messages.slice(n, n + 500) });
    }
  }

  /** `count` messages by turns, `1` to `count` by their texts. */
  async chat(count: number, where: Where = PAIR): Promise<void> {
    await this.say(
      Array.from({ length: count }, (_, n) => ({
        sender: n % 2 === 0 ? 'alice' : 'bob',
        sentAtMs: BigInt(1_700_000_000_000 + n),
        content: { text: `${n + 1}` },
      })),
      where,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

type Where = { readonly user: string; readonly peer: string } | { readonly group: string };

const PAIR: Where = { user: 'alice', peer: 'bob' };

/** A session that keeps what it is handed. */
export class Reader {
  readonly session: ReturnType<Device['readSession']>;
  readonly messages: LocalMessage[] = [];

  constructor(device: Device, options: ReadOptions) {
    this.session = device.readSession(options, (message) => this.messages.push(message));
  }

  get seqs(): (number | undefined)[] {
    return this.messages.map(({ seq }) => seq);
  }

  get texts(): string[] {
    return this.messages.map(({ text }) => text);
  }
}

/** Whole numbers from `from` to `to`, in falling order where `to` is lower. */
export function range(from: number, to: number): number[] {
  const step = from <= to ? 1 : -1;
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, n) => from + n * step);
}
