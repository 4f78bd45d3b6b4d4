import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../random.ts';
import { checkDevice } from './device-checks.ts';
import { newcomer, useDevice } from './device-deeds.ts';
import { deeds, settle } from './device-friends.ts';
import { DeviceTown } from './device-town.ts';
import { type Copy, OwnedDevice } from './owned-device.ts';
import type { Check, Storm } from './storm.ts';

/** Things that are done with each device at a time, and by others. */
const hands = 3;

/**
 * A person with three devices, whose friends talk meanwhile: everything that can befall a device does,
 * and wherever it claims to know something, that must be what the service has.
 */
export class DeviceStorm implements Storm, AsyncDisposable {
  readonly name: string;
  readonly victims: Storm['victims'];
  readonly triggers: Storm['triggers'];
  /** Steps that were done so far. */
  done = 0;
  /** Messages that the devices claimed to know, each time they were held to the service. */
  claimed = 0;
  readonly #town: DeviceTown;
  readonly #devices: readonly OwnedDevice[];
  readonly #copies: Copy[] = [];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    name: string,
    victims: Storm['victims'],
    most: number,
    town: DeviceTown,
    devices: readonly OwnedDevice[],
    stack: AsyncDisposableStack,
  ) {
    this.name = name;
    this.victims = victims;
    this.triggers = [{ what: 'operation done', most }];
    this.#town = town;
    this.#devices = devices;
    this.#stack = stack;
    town.onPush = (push) => {
      for (const owned of devices) owned.push(push);
    };
    for (const owned of devices) owned.onSent = (id, seq) => town.sent(id, seq);
  }

  /** `address`: of a history service without conversations; `most`: steps between two kills of it. */
  static async begin(
    name: string,
    address: string,
    victims: Storm['victims'],
    most: number,
  ): Promise<DeviceStorm> {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'backscroll-devices-'));
    stack.defer(() => rm(folder, { recursive: true, force: true }));
    const town = stack.use(new DeviceTown(address));
    await settle(town, new Random(1), AbortSignal.timeout(120_000));
    const devices: OwnedDevice[] = [];
    for (const device of ['phone', 'tablet', newcomer]) {
      devices.push(stack.use(await OwnedDevice.make(device, folder, address)));
    }
    return new DeviceStorm(name, victims, most, town, devices, stack.move());
  }

  get activity() {
    return this.#town.activity;
  }

  async work(random: Random, over: () => boolean, signal: AbortSignal): Promise<void> {
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const repeat = async (step: () => Promise<void>) => {
      while (!over() && !either.aborted) {
        await step();
        this.done++;
        this.activity.happened('operation done');
      }
    };
    const all: Promise<void>[] = [];
    for (const owned of this.#devices) {
      owned.disturb(random.fork());
      for (let n = 0; n < hands; n++) {
        const using = { town: this.#town, owned, copies: this.#copies, random: random.fork() };
        all.push(repeat(() => useDevice({ ...using, signal: either })));
      }
    }
    for (let n = 0; n < hands; n++) {
      const own = random.fork();
      all.push(repeat(() => own.pick(deeds)(this.#town, own, either)));
    }
    for (const one of all) one.catch((error: unknown) => failed.abort(error));
    await Promise.all(all);
  }

  async check(signal: AbortSignal): Promise<Check> {
    const faults: string[] = [];
    const before = this.claimed;
    for (const owned of this.#devices) {
      owned.disturb(undefined);
      await checkDevice(this.#town, owned, signal).then(
        (count) => {
          this.claimed += count;
        },
        (error: unknown) => faults.push(error instanceof Error ? `${error.stack}` : `${error}`),
      );
    }
    const claimed = this.claimed - before;
    const checked = `${claimed} messages that three devices claim to know, after ${this.done} steps`;
    return { faults, checked };
  }

  /** What is checked is all there is. */
  recheck(signal: AbortSignal): Promise<Check> {
    return this.check(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
