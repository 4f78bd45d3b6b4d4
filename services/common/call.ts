import type { DescMethod, DescService, MessageShape } from '@bufbuild/protobuf';
import type { Logger } from './logger.ts';

/** On whose behalf a call is made: a service, which may act for any user, or one user. */
export type Caller = { kind: 'service' } | { kind: 'user'; user: string };

/** What a handler is told about its call besides the request. */
export interface CallContext {
  readonly caller: Caller;
  /**
   * Fires when nobody waits for the answer any longer: the client cancelled or vanished, the
   * deadline passed, or the service stops. A handler hands it to whatever it waits on.
   */
  readonly signal: AbortSignal;
  /** The client's `x-request-id`, or a new one; it stands in every log line of the call. */
  readonly requestId: string;
  /** The call's own log. */
  readonly log: Logger;
}

/**
 * What answers one method. An answer that is a `Uint8Array` is an already encoded message, and is
 * sent as it is. An iterable that is not finished (the signal fired, or a write failed) gets
 * `return()`, so that `finally` and `await using` in a generator free what it holds.
 *
 * That the requests end is no proof that the client meant it: some clients, grpc-js among them, end
 * their side when they cancel, and the signal fires a moment later. What may only happen when all
 * has come is decided by what was declared.
 */
export type Handler<M extends DescMethod> = M['methodKind'] extends 'unary'
  ? (request: MessageShape<M['input']>, context: CallContext) => Promise<Answer<M>>
  : M['methodKind'] extends 'server_streaming'
    ? (request: MessageShape<M['input']>, context: CallContext) => AsyncIterable<Answer<M>>
    : M['methodKind'] extends 'bidi_streaming'
      ? (
          requests: AsyncIterable<MessageShape<M['input']>>,
          context: CallContext,
        ) => AsyncIterable<Answer<M>>
      : never;

/** A message, or its encoded bytes. */
export type Answer<M extends DescMethod> = MessageShape<M['output']> | Uint8Array;

/** The handlers of a whole service, by the names of its methods in lower camel case. */
export type Handlers<S extends DescService> = {
  readonly [Name in keyof S['method']]: Handler<S['method'][Name]>;
};
