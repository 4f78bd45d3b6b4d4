import type { DescMethod } from '@bufbuild/protobuf';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** Seconds, from a page out of a cache to a backup of many gigabytes. */
const SECONDS_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300];

const LABELS = ['grpc_type', 'grpc_service', 'grpc_method'];

/**
 * The metrics of one service under the usual gRPC names, in a registry of their own, so that two
 * services fit in one process.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #started: Counter;
  readonly #handled: Counter;
  readonly #seconds: Histogram;
  readonly #received: Counter;
  readonly #sent: Counter;
  readonly #inFlight: Gauge;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#started = new Counter({
      name: 'grpc_server_started_total',
      help: 'Calls that began.',
      labelNames: LABELS,
      registers,
    });
    this.#handled = new Counter({
      name: 'grpc_server_handled_total',
      help: 'Calls that ended, by status.',
      labelNames: [...LABELS, 'grpc_code'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'grpc_server_handling_seconds',
      help: 'Time from the first request to the last answer.',
      labelNames: LABELS,
      buckets: SECONDS_BUCKETS,
      registers,
    });
    this.#received = new Counter({
      name: 'grpc_server_msg_received_total',
      help: 'Messages taken from clients.',
      labelNames: LABELS,
      registers,
    });
    this.#sent = new Counter({
      name: 'grpc_server_msg_sent_total',
      help: 'Messages given to clients.',
      labelNames: LABELS,
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'grpc_server_in_flight',
      help: 'Calls that hold something: their handler has not returned.',
      labelNames: LABELS,
      registers,
    });
  }

  /** A service's own gauge, read by `read` whenever the metrics are. */
  gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.registry],
      collect() {
        this.set(read());
      },
    });
  }

  /** The meter of one method, made once and used by all its calls. */
  forMethod(method: DescMethod): MethodMeter {
    const labels = {
      grpc_type: method.methodKind,
      grpc_service: method.parent.typeName,
      grpc_method: method.name,
    };
    const started = this.#started.labels(labels);
    const seconds = this.#seconds.labels(labels);
    const received = this.#received.labels(labels);
    const sent = this.#sent.labels(labels);
    const inFlight = this.#inFlight.labels(labels);
    inFlight.set(0); // so that it is there to be read before the first call
    return {
      received: () => received.inc(),
      sent: () => sent.inc(),
      begin: () => {
        started.inc();
        inFlight.inc();
        const beganMs = performance.now();
        return (code) => {
          inFlight.dec();
          seconds.observe((performance.now() - beganMs) / 1_000);
          this.#handled.labels({ ...labels, grpc_code: code }).inc();
        };
      },
    };
  }
}

/** Counts what the calls of one method do. */
export interface MethodMeter {
  /** A call began; the function that it returns is to be told the name of the status it ends in. */
  begin(): (code: string) => void;
  received(): void;
  sent(): void;
}
