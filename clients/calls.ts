import { once } from 'node:events';
import type { DescService, MessageShape } from '@bufbuild/protobuf';
import {
  type Client,
  type CallOptions as GrpcCallOptions,
  Metadata,
  type MethodDefinition,
} from '@grpc/grpc-js';
import { BackscrollError } from './errors.ts';
import { serviceDefinition } from './service-definition.ts';
import { cutOff } from './stream-faults.ts';

/** What every call takes. */
export interface CallOptions {
  /** Cancels the call when it fires: the call then fails with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /**
   * How long the call may take in all, in milliseconds; then it fails with DEADLINE_EXCEEDED. Calls
   * with one answer have 30 s unless told otherwise, streams have no bound. `Infinity` takes it off.
   */
  readonly timeoutMs?: number | undefined;
}

/** What a call that answers with a stream takes besides. */
export interface StreamOptions extends CallOptions {
  /**
   * How long the next answer may take, in milliseconds; then the call fails with UNAVAILABLE, reason
   * CUT_OFF. No bound unless told: a connection that is dead is noticed by itself.
   */
  readonly stallMs?: number | undefined;
}

/** What the calls of grpc-js have in common. */
interface Cancellable {
  cancel(): void;
}

/** grpc-js's description of a service, with the types of its messages. */
export type Methods<S extends DescService> = {
  readonly [K in keyof S['method']]: MethodDefinition<
    MessageShape<S['method'][K]['input']>,
    MessageShape<S['method'][K]['output']>
  >;
};

/** `serviceDefinition` with types. */
export function typedMethods<S extends DescService>(desc: S): Methods<S> {
  return serviceDefinition(desc) as unknown as Methods<S>;
}

const UNARY_TIMEOUT_MS = 30_000;

/** Calls a method with one answer. Fails with a `BackscrollError`. */
export async function callUnary<Req, Res>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  request: Req,
  options: CallOptions = {},
): Promise<Res> {
  const timeoutMs = options.timeoutMs ?? UNARY_TIMEOUT_MS;
  const { promise, resolve, reject } = withResolvers<Res>();
  const call = client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
    deadline(timeoutMs),
    (error, response) =>
      error ? reject(failureOf(error, options.signal)) : resolve(response as Res),
  );
  const unbind = cancelOn(options.signal, call);
  return promise.finally(unbind);
}

/**
 * Calls a method that answers with a stream, and yields its messages. Fails with a
 * `BackscrollError`; leaving the iteration early cancels the call.
 */
export async function* callServerStream<Req, Res>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  request: Req,
  options: StreamOptions = {},
): AsyncGenerator<Res, void, undefined> {
  const call = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
    deadline(options.timeoutMs),
  );
  // The iteration throws the error; without a listener, the event would end the process.
  call.on('error', () => {});
  const unbind = cancelOn(options.signal, call);
  const { stallMs } = options;
  let isWaiting = true;
  let isStalled = false;
  const stalled = () => {
    isStalled = isWaiting;
    if (isStalled) call.cancel();
  };
  const timer = stallMs === undefined ? undefined : setTimeout(stalled, stallMs);
  try {
    for await (const answer of call as AsyncIterable<Res>) {
      // Whoever takes it may take any time.
      isWaiting = false;
      yield answer;
      isWaiting = true;
      timer?.refresh();
    }
  } catch (error) {
    if (isStalled) throw cutOff(`Nothing came for ${stallMs} ms`, error);
    throw failureOf(error, options.signal);
  } finally {
    clearTimeout(timer);
    unbind();
    call.cancel();
  }
}

/**
 * Sends one message, or the encoded bytes of one; resolves when the next one may be sent, fails when
 * the call is over. `written` is called once nothing refers to the bytes any more.
 */
export type Send<Req> = (message: Req | Uint8Array, written?: () => void) => Promise<void>;

/**
 * Calls a method with streams both ways: `produce` sends the requests, and this side is closed when
 * it resolves; the answers are yielded meanwhile. An error of `produce` itself cancels the call and
 * is thrown as it is; all others are `BackscrollError`s. Leaving the iteration early cancels the
 * call.
 */
export async function* callBidi<Req, Res>(
  client: Client,
  method: MethodDefinition<Req, Res>,
  produce: (send: Send<Req>) => Promise<void>,
  options: CallOptions = {},
): AsyncGenerator<Res, void, undefined> {
  const call = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    new Metadata(),
    deadline(options.timeoutMs),
  );
  const over = new AbortController();
  call.on('error', () => over.abort());
  call.on('status', () => over.abort());
  const unbind = cancelOn(options.signal, call);
  let failure: { error: unknown } | undefined;
  const send: Send<Req> = async (message, written) => {
    over.signal.throwIfAborted();
    // The serializers of `serviceDefinition` take encoded bytes as well.
    if (!call.write(message as Req, written)) await once(call, 'drain', { signal: over.signal });
  };
  void produce(send).then(
    () => call.end(),
    (error: unknown) => {
      if (over.signal.aborted) return;
      failure = { error };
      call.cancel();
    },
  );
  try {
    yield* call as AsyncIterable<Res>;
  } catch (error) {
    throw failure ? failure.error : failureOf(error, options.signal);
  } finally {
    unbind();
    over.abort();
    call.cancel();
  }
}

/**
 * What a call failed with. A stream that the other end reset (a server that is forced to stop does
 * so) looks to grpc-js as if it had been cancelled here, or as a fault of the service: it was cut off.
 */
function failureOf(thrown: unknown, signal: AbortSignal | undefined): unknown {
  const error = BackscrollError.from(thrown);
  if (!(error instanceof BackscrollError) || signal?.aborted) return error;
  const isReset =
    error.reason === 'CANCELLED' ||
    (error.reason === 'INTERNAL' && error.message.startsWith('Received RST_STREAM'));
  if (!isReset) return error;
  return cutOff(`The call was cut off: ${error.message}`, thrown);
}

/** Options of a call with one answer that may take any time, unless they say otherwise. */
export function unhurried(options: CallOptions = {}): CallOptions {
  return { ...options, timeoutMs: options.timeoutMs ?? Infinity };
}

function deadline(timeoutMs: number | undefined): GrpcCallOptions {
  return timeoutMs === undefined || timeoutMs === Infinity
    ? {}
    : { deadline: Date.now() + timeoutMs };
}

/** Cancels `call` when `signal` fires; the result takes the listener off again. */
function cancelOn(signal: AbortSignal | undefined, call: Cancellable): () => void {
  if (!signal) return () => {};
  const cancel = () => call.cancel();
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function withResolvers<T>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  return { promise, resolve, reject };
}
