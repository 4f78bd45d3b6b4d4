import { once } from 'node:events';
import type { Message as ProtoMessage } from '@bufbuild/protobuf';
import {
  type Client,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type StatusObject,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { openChannel } from '../../clients/channel.ts';
import { DirectoryService } from '../../clients/gen/backscroll/history/v1/directory_pb.ts';
import { HistoryService } from '../../clients/gen/backscroll/history/v1/history_pb.ts';
import { serviceDefinition } from '../../clients/service-definition.ts';

/** One call that went through. */
export interface RelayedCall {
  readonly method: string;
  readonly request: ProtoMessage;
  /** Seqs of the messages that were passed on, in their order. */
  readonly seqs: number[];
}

/** Looks at an answer, or one frame of it, before it is passed on; what it throws breaks the call. */
export type Watch = (call: RelayedCall, answer: Answer) => Promise<void> | void;

/** An answer that the service has given, and the device does not have yet. */
export interface HeldAnswer {
  /** Resolves when the service has given it. */
  readonly came: Promise<void>;
  /** Passes it on. */
  readonly release: () => void;
}

/** What the answers that matter here have in common. */
export interface Answer extends ProtoMessage {
  readonly messages?: readonly { readonly seq: bigint }[];
}

const definition = {
  ...serviceDefinition(HistoryService),
  ...serviceDefinition(DirectoryService),
};

/**
 * Stands between devices and a history service: passes calls on one by one, writes down what comes
 * back, and breaks where it is told to. Whoever breaks off is told not to try again by itself.
 */
export class HistoryRelay implements AsyncDisposable {
  readonly calls: RelayedCall[] = [];
  /** Nothing goes through. */
  isCut = false;
  watch: Watch | undefined;
  readonly address: string;
  readonly #server: Server;
  readonly #client: Client;

  private constructor(server: Server, client: Client, port: number) {
    this.#server = server;
    this.#client = client;
    this.address = `127.0.0.1:${port}`;
  }

  /** Listens, and passes on to `target`, an address `host:port`. */
  static async start(target: string): Promise<HistoryRelay> {
    const server = new Server();
    let relay!: HistoryRelay;
    server.addService(
      definition,
      Object.fromEntries(
        Object.entries(definition).map(([method, { requestStream, responseStream }]) => {
          if (requestStream) return [method, () => {}];
          return [
            method,
            responseStream
              ? (call: ServerWritableStream<ProtoMessage, Answer>) =>
                  void relay.#stream(method, call)
              : (
                  call: ServerUnaryCall<ProtoMessage, Answer>,
                  answer: sendUnaryData<ProtoMessage>,
                ) => void relay.#unary(method, call, answer),
          ];
        }),
      ),
    );
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
    relay = new HistoryRelay(server, openChannel(target), port);
    return relay;
  }

  /** Holds the first answer back that `matches`, or its first frame, until it is released. */
  hold(matches: (call: RelayedCall) => boolean): HeldAnswer {
    const came = Promise.withResolvers<void>();
    const held = Promise.withResolvers<void>();
    this.watch = (call) => {
      if (!matches(call)) return;
      this.watch = undefined;
      came.resolve();
      return held.promise;
    };
    return { came: came.promise, release: held.resolve };
  }

  /** How often each seq was passed on by pages, of which the messages fit. */
  fetched(fits: (call: RelayedCall) => boolean = () => true): Map<number, number> {
    const times = new Map<number, number>();
    for (const call of this.calls) {
      if (call.method !== 'sync' || !fits(call)) continue;
      for (const seq of call.seqs) times.set(seq, (times.get(seq) ?? 0) + 1);
    }
    return times;
  }

  async #unary(
    method: string,
    call: ServerUnaryCall<ProtoMessage, Answer>,
    callback: sendUnaryData<ProtoMessage>,
  ): Promise<void> {
    const record = this.#begin(method, call.request);
    const { path, requestSerialize, responseDeserialize } = definition[method]!;
    try {
      this.#checkCut();
      const answer = await new Promise<Answer>((resolve, reject) => {
        this.#client.makeUnaryRequest(
          ...([path, requestSerialize, responseDeserialize, call.request] as const),
          (error, value) => (error ? reject(error) : resolve(value as Answer)),
        );
      });
      await this.watch?.(record, answer);
      this.#checkCut();
      callback(null, answer);
    } catch (error) {
      callback(broken(error));
    }
  }

  async #stream(method: string, call: ServerWritableStream<ProtoMessage, Answer>): Promise<void> {
    const record = this.#begin(method, call.request);
    const { path, requestSerialize, responseDeserialize } = definition[method]!;
    try {
      this.#checkCut();
      const page = this.#client.makeServerStreamRequest(
        ...([path, requestSerialize, responseDeserialize, call.request] as const),
      );
      page.on('error', () => {});
      call.on('cancelled', () => page.cancel());
      for await (const answer of page as AsyncIterable<Answer>) {
        await this.watch?.(record, answer);
        this.#checkCut();
        record.seqs.push(...(answer.messages ?? []).map(({ seq }) => Number(seq)));
        if (!call.write(answer)) await Promise.race([once(call, 'drain'), once(call, 'cancelled')]);
      }
      call.end();
    } catch (error) {
      call.emit('error', broken(error));
    }
  }

  #begin(method: string, request: ProtoMessage): RelayedCall {
    const record = { method, request, seqs: [] };
    this.calls.push(record);
    return record;
  }

  #checkCut(): void {
    if (this.isCut) throw new Error('the connection was cut');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    this.#client.close();
  }
}

/** What the service answered with, or that the relay broke the call; neither is to be tried again at once. */
function broken(error: unknown): Partial<ServiceError> & Partial<StatusObject> {
  const { code, details, metadata } = error as ServiceError;
  if (typeof code === 'number' && code !== status.UNAVAILABLE) return { code, details, metadata };
  const final = new Metadata();
  final.set('grpc-retry-pushback-ms', '-1');
  return { code: status.UNAVAILABLE, details: String(error), metadata: final };
}
