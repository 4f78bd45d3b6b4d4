import { type Server, type ServerWritableStream, status } from '@grpc/grpc-js';
import { HealthImplementation, type ServingStatus } from 'grpc-health-check';
import { LIFE_LIMITS } from './limits.ts';
import type { Logger } from './logger.ts';
import { describeFault } from './status.ts';

/**
 * Rejects, with what is wrong, when the service could not answer a call now: its store is gone, or
 * its schema old.
 */
export type HealthCheck = (signal: AbortSignal) => Promise<void>;

type Watch = ServerWritableStream<unknown, unknown>;

/** Answers `grpc.health.v1.Health` for a server: SERVING while a check that is repeated succeeds. */
export class Health {
  readonly #names: readonly string[];
  readonly #check: HealthCheck;
  readonly #log: Logger;
  readonly #service: HealthImplementation;
  readonly #watches = new Set<Watch>();
  readonly #stop = new AbortController();
  #status: ServingStatus = 'UNKNOWN';
  #timer: NodeJS.Timeout | undefined;

  /** `names`: the services that the check speaks for; the whole server has the empty name. */
  constructor(names: readonly string[], check: HealthCheck, log: Logger) {
    this.#names = ['', ...names];
    this.#check = check;
    this.#log = log;
    this.#service = new HealthImplementation();
  }

  addTo(server: Server): void {
    this.#service.addToServer({
      addService: (definition, handlers) => {
        const watch = handlers.watch as (call: Watch) => void;
        server.addService(definition, {
          ...handlers,
          watch: (call: Watch) => {
            this.#watches.add(call);
            call.once('close', () => this.#watches.delete(call));
            watch(call);
          },
        });
      },
    });
  }

  /** Checks once, and from then on again and again until `stop()`. */
  async start(): Promise<void> {
    const signal = AbortSignal.any([
      this.#stop.signal,
      AbortSignal.timeout(LIFE_LIMITS.healthTimeoutMs),
    ]);
    try {
      await within(signal, this.#check(signal));
      this.#set('SERVING');
    } catch (error) {
      this.#set('NOT_SERVING', error);
    }
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => this.start(), LIFE_LIMITS.healthIntervalMs);
  }

  /** Tells everybody that the service is going, and ends the watches, which never end by themselves. */
  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    this.#set('NOT_SERVING');
    const error = { code: status.UNAVAILABLE, details: 'the service is stopping' };
    for (const watch of this.#watches) watch.emit('error', error);
  }

  #set(next: ServingStatus, error?: unknown): void {
    const before = this.#status;
    this.#status = next;
    if (next === before || (this.#stop.signal.aborted && next === 'SERVING')) return;
    for (const name of this.#names) this.#service.setStatus(name, next);
    if (error === undefined) this.#log.info({ status: next }, 'health changed');
    else this.#log.warn({ status: next, fault: describeFault(error) }, 'health changed');
  }
}

/** A check that ignores its signal must not keep the status as it was. */
async function within(signal: AbortSignal, work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
