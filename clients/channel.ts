import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';

/** Largest answer that is taken, in bytes: a frame is about 256 KiB, and one message of it at most that. */
const MAX_ANSWER_BYTES = 4 << 20;

/** HTTP/2 lets 64 KiB be under way unless told otherwise: too little for downloads over a distance. */
const FLOW_CONTROL_WINDOW_BYTES = 8 << 20;

/**
 * UNAVAILABLE is tried again: the service did not begin, is stopping, or its store is away for a
 * moment. Every write carries an id that makes it repeatable. A stream is only tried again as long
 * as nothing came back on it.
 */
const SERVICE_CONFIG = {
  methodConfig: [
    {
      name: [{}],
      retryPolicy: {
        maxAttempts: 4,
        initialBackoff: '0.2s',
        maxBackoff: '2s',
        backoffMultiplier: 2,
        retryableStatusCodes: ['UNAVAILABLE'],
      },
    },
  ],
};

const ADDRESS = /^(?:(https?):\/\/)?((?:\[[\da-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5})\/?$/;

/** How to connect. */
export interface ChannelOptions {
  /** Those of grpc-js. Without any: TLS for `https://`, in the clear for all else. */
  readonly credentials?: ChannelCredentials;
  /** `false`: UNAVAILABLE is told at once, and not tried again, as where there may well be no connection. */
  readonly retries?: boolean;
}

/**
 * Makes a connection to one service, at `host:port`, `http://host:port` or `https://host:port`.
 * Nothing is sent before the first call, and a connection that broke is made anew. To be closed by
 * `close()`.
 *
 * @throws TypeError for an address of any other form
 */
export function openChannel(address: string, options: ChannelOptions = {}): Client {
  const { target, secure } = parseAddress(address);
  const fallback = secure ? credentials.createSsl() : credentials.createInsecure();
  return new Client(target, options.credentials ?? fallback, {
    'grpc.service_config': JSON.stringify(SERVICE_CONFIG),
    'grpc.enable_retries': Number(options.retries ?? true),
    'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 5_000,
  });
}

/** Whether it is an address that `openChannel` takes. */
export function isAddress(address: string): boolean {
  return ADDRESS.test(address);
}

function parseAddress(address: string): { target: string; secure: boolean } {
  const [, scheme, target] = ADDRESS.exec(address) ?? [];
  if (target === undefined) throw new TypeError(`no address of the form host:port: ${address}`);
  return { target, secure: scheme === 'https' };
}
