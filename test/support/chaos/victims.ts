import type { OwnEngine } from '../engines.ts';
import { startService, type TestService } from '../processes.ts';
import { freePort } from '../server.ts';
import type { Victim } from './storm.ts';

/** A service process that is killed and comes back at the same addresses. Disposing it ends it. */
export class ServiceVictim implements Victim, AsyncDisposable {
  readonly name: string;
  /** Where it answers calls, and where it gives its metrics, whether it runs or not. */
  readonly address: string;
  readonly metrics: string;
  readonly #start: () => Promise<TestService>;
  #service: TestService;

  private constructor(name: string, service: TestService, start: () => Promise<TestService>) {
    this.name = `the ${name} service`;
    this.address = service.address;
    this.metrics = service.metrics;
    this.#start = start;
    this.#service = service;
  }

  /** Starts the service for the first time. */
  static async launch(
    name: 'history' | 'backup',
    env: Readonly<Record<string, string>>,
    main?: string,
  ): Promise<ServiceVictim> {
    const listen = {
      [`${name.toUpperCase()}_LISTEN`]: `127.0.0.1:${await freePort()}`,
      [`${name.toUpperCase()}_METRICS_LISTEN`]: `127.0.0.1:${await freePort()}`,
    };
    const start = () => startService(name, { ...listen, ...env }, main);
    return new ServiceVictim(name, await start(), start);
  }

  async kill(): Promise<void> {
    const { signal, code } = await this.#service.process.kill();
    // A service that had ended by itself was not killed by us.
    if (signal !== 'SIGKILL') {
      throw new Error(`${this.name} ended by itself with ${code}:\n${this.lastWords()}`);
    }
  }

  async start(): Promise<void> {
    this.#service = await this.#start();
  }

  /** The end of what the process that runs now has written. */
  lastWords(): string {
    const { stdout, stderr } = this.#service.process;
    return (stdout + stderr).slice(-4_000);
  }

  /** The most memory that was ever resident in the process that runs now, in bytes. */
  peakMemoryBytes(): number {
    return this.#service.process.peakMemoryBytes();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service[Symbol.asyncDispose]();
  }
}

/** An engine of this suite's own as a victim. */
export function engineVictim(name: string, engine: OwnEngine): Victim {
  return { name, kill: () => engine.kill(), start: () => engine.start() };
}
