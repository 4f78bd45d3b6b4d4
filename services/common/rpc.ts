import { randomUUID } from 'node:crypto';
import type { DescMethod, DescService, Message } from '@bufbuild/protobuf';
import type {
  Metadata,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  sendUnaryData,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { encodeMessage, serviceDefinition } from '../../clients/service-definition.ts';
import type { CallContext, Handlers } from './call.ts';
import type { Authenticate } from './caller.ts';
import { decodeRequest } from './decode.ts';
import { Code, type ServiceError } from './errors.ts';
import type { AnyCall, CallsInFlight } from './in-flight.ts';
import type { CallLimits } from './limits.ts';
import type { Logger } from './logger.ts';
import type { MethodMeter, Metrics } from './metrics.ts';
import { toServiceError, toStatus } from './status.ts';
import { AnswerWriter, type BytesOut, RequestReader } from './streams.ts';

/** What the calls of one running service share. */
export interface CallRuntime {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly inFlight: CallsInFlight;
  readonly limits: CallLimits;
  readonly authenticate: Authenticate;
}

/** A service with its handlers, ready to be added to a server. */
export interface Implementation {
  readonly desc: DescService;
  readonly definition: ServiceDefinition;
  /** The handlers as grpc-js wants them, in a running service. */
  bind(runtime: CallRuntime): UntypedServiceImplementation;
}

/** The largest request of each method, in bytes, by the methods' names in lower camel case. */
export type RequestBytes<S extends DescService> = { readonly [Name in keyof S['method']]: number };

/**
 * Answers a generated service with `handlers`.
 *
 * Around each handler stand, in this order: the limit of calls in flight, the caller, decoding
 * (what is too large or no valid message is INVALID_ARGUMENT), the handler itself, back-pressure, the mapping of
 * whatever it throws to a status with details, and metrics. Once the context's signal has fired the
 * call ends in the signal's reason, whatever the handler makes of it.
 */
export function implement<S extends DescService>(
  desc: S,
  handlers: Handlers<S>,
  requestBytes: RequestBytes<S>,
): Implementation {
  const untyped = handlers as unknown as Readonly<Record<string, UntypedHandler>>;
  const limits: Readonly<Record<string, number>> = requestBytes;
  return {
    desc,
    definition: bytesDefinition(desc),
    bind: (runtime) =>
      Object.fromEntries(
        desc.methods.map((method) => {
          const handler = untyped[method.localName];
          const maxBytes = limits[method.localName];
          if (handler === undefined || maxBytes === undefined) {
            throw new TypeError(`${method} has no handler, or no limit`);
          }
          return [method.localName, bindMethod(new Rpc(runtime, method, maxBytes), handler)];
        }),
      ),
  };
}

/** A request or the requests, and an answer or the answers. */
type UntypedHandler = (input: unknown, context: CallContext) => unknown;

/** Requests reach `rpc` as they came, because grpc-js would call what can't be decoded INTERNAL. */
function bytesDefinition(desc: DescService): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(serviceDefinition(desc)).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: (bytes: Buffer) => bytes },
    ]),
  );
}

function bindMethod(rpc: Rpc, handler: UntypedHandler): UntypedHandleCall {
  switch (rpc.method.methodKind) {
    case 'unary':
      return (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>) =>
        rpc.unary(call, respond, handler as UnaryHandler);
    case 'server_streaming':
      return (call: ServerWritableStream<Buffer, Buffer>) =>
        rpc.serverStream(call, handler as StreamHandler);
    case 'bidi_streaming':
      return (call: ServerDuplexStream<Buffer, Buffer>) =>
        rpc.bidiStream(call, handler as StreamHandler);
    case 'client_streaming':
      throw new TypeError(`${rpc.method} streams requests alone, which nothing here needs`);
  }
}

type UnaryHandler = (request: Message, context: CallContext) => Promise<Message | Uint8Array>;
type StreamHandler = (
  input: Message | AsyncIterable<Message>,
  context: CallContext,
) => AsyncIterable<Message | Uint8Array>;

/** Answers the calls of one method. */
class Rpc {
  readonly method: DescMethod;
  readonly #runtime: CallRuntime;
  readonly #maxBytes: number;
  readonly #meter: MethodMeter;

  constructor(runtime: CallRuntime, method: DescMethod, maxBytes: number) {
    this.method = method;
    this.#runtime = runtime;
    this.#maxBytes = maxBytes;
    this.#meter = runtime.metrics.forMethod(method);
  }

  async unary(
    call: ServerUnaryCall<Buffer, Buffer>,
    respond: sendUnaryData<Buffer>,
    handler: UnaryHandler,
  ): Promise<void> {
    let answer: Buffer | undefined;
    const error = await this.#run(call, async (context) => {
      const message = await handler(this.#decode(call.request), context);
      answer = encodeMessage(this.method.output, message);
      this.#meter.sent();
    });
    if (error) respond(toStatus(error));
    else respond(null, answer);
  }

  async serverStream(
    call: ServerWritableStream<Buffer, Buffer>,
    handler: StreamHandler,
  ): Promise<void> {
    const error = await this.#run(call, (context) =>
      this.#writeAll(call, handler(this.#decode(call.request), context), context.signal),
    );
    endStream(call, error);
  }

  async bidiStream(
    call: ServerDuplexStream<Buffer, Buffer>,
    handler: StreamHandler,
  ): Promise<void> {
    const error = await this.#run(call, (context) => {
      const requests = new RequestReader(call, context.signal, this.#runtime.limits, (bytes) =>
        this.#decode(bytes),
      );
      return this.#writeAll(call, handler(requests, context), context.signal);
    });
    endStream(call, error);
  }

  /** Resolves, when the call no longer holds anything, to the error it ends in; OK has none. */
  async #run(
    call: AnyCall,
    work: (context: CallContext) => Promise<void>,
  ): Promise<ServiceError | undefined> {
    const requestId = requestIdOf(call.metadata);
    const log = this.#runtime.log.child({ requestId, method: this.method.name });
    const end = this.#meter.begin();
    const error = await this.#attempt(call, requestId, log, work);
    end(error ? codeName(error.code) : 'OK');
    log.debug({ code: error?.code ?? 0, reason: error?.reason }, 'call ended');
    return error;
  }

  async #attempt(
    call: AnyCall,
    requestId: string,
    log: Logger,
    work: (context: CallContext) => Promise<void>,
  ): Promise<ServiceError | undefined> {
    let signal: AbortSignal | undefined;
    try {
      using scope = this.#runtime.inFlight.open(call);
      signal = scope.signal;
      const caller = this.#runtime.authenticate(call.metadata);
      await work({ caller, signal, requestId, log });
      return undefined;
    } catch (thrown) {
      return toServiceError(signal?.aborted ? signal.reason : thrown, log);
    }
  }

  /** Leaving the loop early, by an error of `write`, closes the handler's iterator. */
  async #writeAll(
    call: BytesOut,
    answers: AsyncIterable<Message | Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const { writeAheadBytes, writeIdleMs } = this.#runtime.limits;
    const writer = new AnswerWriter(call, signal, writeAheadBytes, writeIdleMs);
    for await (const answer of answers) {
      await writer.write(encodeMessage(this.method.output, answer));
      this.#meter.sent();
    }
  }

  #decode(bytes: Buffer): Message {
    this.#meter.received();
    return decodeRequest(this.method.input, bytes, this.#maxBytes);
  }
}

/** Answers already written still go out before the status. */
function endStream(call: BytesOut, error: ServiceError | undefined): void {
  if (error) call.emit('error', toStatus(error));
  else call.end();
}

function requestIdOf(metadata: Metadata): string {
  const [given] = metadata.get('x-request-id');
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID();
}

function codeName(code: Code): string {
  return Object.entries(Code).find(([, number]) => number === code)?.[0] ?? 'UNKNOWN';
}
