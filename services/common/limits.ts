/** The limits of calls that both services share. */
export interface CallLimits {
  /**
   * Largest message that grpc-js takes in, in bytes; a larger one ends its call with
   * RESOURCE_EXHAUSTED. Methods have lower limits of their own.
   */
  maxRequestBytes: number;
  /** Calls in flight in one service; one more is refused with RESOURCE_EXHAUSTED. */
  maxCalls: number;
  /** Streams open at once on one connection; more wait in the client. */
  maxStreamsPerConnection: number;
  /** Bytes of answers handed to the transport before a handler is asked for the next one. */
  writeAheadBytes: number;
  /** Requests of one stream that are read before its handler asks for them. */
  readAheadMessages: number;
  /** How long a stream may wait for its first request, in milliseconds. */
  firstRequestMs: number;
  /** How long a stream may wait for the client to send, in milliseconds. */
  readIdleMs: number;
  /** How long a stream may wait for the client to read, in milliseconds. */
  writeIdleMs: number;
  /** How often a connection is probed, in milliseconds. */
  keepaliveMs: number;
  /** How long the answer to a probe may take, in milliseconds. */
  keepaliveTimeoutMs: number;
}

/** The limits in force, each with its reason. */
export const CALL_LIMITS: CallLimits = {
  // The largest legal request is an import batch of 2 MiB; the rest lets a request that is somewhat
  // too large reach its handler, which says what is wrong with it.
  maxRequestBytes: 4 << 20,
  // Several times what one process answers in a second; beyond it a queue only makes all late.
  maxCalls: 1_000,
  // A device needs few; a backend that needs more opens a second connection.
  maxStreamsPerConnection: 256,
  // Two frames: one on its way while the next is made. It bounds what a slow reader holds.
  writeAheadBytes: 512 << 10,
  // Enough to decode one while the next arrives. It bounds what a slow handler holds.
  readAheadMessages: 4,
  // Whoever opens a stream has something to send; one that is only held open takes the place of a call.
  firstRequestMs: 10_000,
  // A client that reads a slow disk or hashes a large file is alive; five silent minutes are not.
  readIdleMs: 300_000,
  // A phone that lost its network for a moment goes on reading; after a minute it begins again.
  writeIdleMs: 60_000,
  // A vanished peer holds its streams for 40 s at most.
  keepaliveMs: 30_000,
  keepaliveTimeoutMs: 10_000,
};

/**
 * Fields of one request, those within its messages too: a batch of 5,000 messages has 7 of each
 * usually, and up to 30 may be meant. Decoding that many takes about a tenth of a second at worst.
 */
export const MAX_REQUEST_FIELDS = 150_000;

/** Limits of a service's own life. */
export const LIFE_LIMITS = {
  /** How often health is checked, in milliseconds: an outage is seen, and seen to end, this soon. */
  healthIntervalMs: 2_000,
  /** How long one health check may take, in milliseconds; a store that hangs is a store that is gone. */
  healthTimeoutMs: 5_000,
  /** How long calls in flight may go on after SIGTERM, in milliseconds; below Docker's 10 s to SIGKILL. */
  drainMs: 8_000,
  /** How long calls may take to free what they hold once they were told to stop, in milliseconds. */
  abortMs: 1_000,
} as const;
