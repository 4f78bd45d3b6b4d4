import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** What befalls one request and its answer on their way. */
export type Fault =
  /** The connection breaks before the store gets anything of the request. */
  | 'broken before'
  /** It breaks in the middle of the request's body. */
  | 'broken within'
  /** It breaks when the store has done what was asked for, before anything of the answer comes. */
  | 'broken after'
  /** It breaks in the middle of the answer's body. */
  | 'answer broken'
  /** Nothing is answered, for as long as one waits, though the store has done what was asked for. */
  | 'silent'
  /** The answer comes in small pieces. */
  | 'slow'
  /** The store has too much to do: 503 with S3's words for it. */
  | 'busy'
  /** The store says 403, as MinIO does now and then to a put that meets a delete. */
  | 'denied'
  /** Something before the store can't reach it: 503 and no word. */
  | 'unreachable'
  /** The store is full: 507. */
  | 'full'
  /** One bit of the request's body arrives changed. */
  | 'sent damaged'
  /** One bit of the answer's body is another one. */
  | 'damaged'
  /** The last half of the answer's body is missing, and nothing tells it. */
  | 'short'
  /** The object's bytes are those of another one, which was read before. */
  | 'another';

/** A request that a proxy has seen. */
export interface SeenRequest {
  /** 1 for the first. */
  readonly number: number;
  readonly method: string;
  readonly path: string;
  /** Bytes of its body. */
  readonly bodyBytes: number;
  /** Whether it reads an object, whole or in part. */
  readonly readsObject: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

/** An HTTP proxy before a MinIO, which counts requests, and does to each what a test says. */
export class RequestProxy implements AsyncDisposable {
  /** Decides on each request, when all of it has come. */
  onRequest: (request: SeenRequest) => Fault | undefined = () => undefined;
  /** Requests so far. */
  seen: SeenRequest[] = [];
  /** Requests that were passed on and not answered yet by the store. */
  passing = 0;
  readonly #server: http.Server;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #far: { host: string; port: number };
  /** What objects were read so far. */
  readonly #bodies: { path: string; body: Buffer }[] = [];

  private constructor(server: http.Server, far: { host: string; port: number }) {
    this.#server = server;
    this.#far = far;
  }

  /** Listens on a port of the system's choice, and passes on to that of the store. */
  static async start(host: string, port: number): Promise<RequestProxy> {
    const server = http.createServer({ keepAliveTimeout: 60_000 });
    const proxy = new RequestProxy(server, { host, port });
    server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
      // Whoever sent it is gone.
      proxy.#take(request, response).catch(() => response.destroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
    this.#agent.destroy();
  }

  async #take(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const body = await bytesOf(request);
    const path = request.url ?? '';
    const method = request.method ?? '';
    const number = this.seen.length + 1;
    const readsObject = method === 'GET' && !path.includes('list-type');
    const seen = { number, method, path, bodyBytes: body.length, readsObject };
    this.seen.push(seen);
    const fault = this.onRequest(seen);
    if (fault === 'broken before') return void response.socket?.resetAndDestroy();
    if (fault === 'busy') return refuse(response, 503, 'SlowDown');
    if (fault === 'denied') return refuse(response, 403, 'AccessDenied');
    if (fault === 'full') return refuse(response, 507, 'XMinioStorageFull');
    if (fault === 'unreachable') return void response.writeHead(503).end();
    if (fault === 'broken within') {
      this.#passHalf(request, half(body));
      return void response.socket?.resetAndDestroy();
    }
    const answer = await this.#pass(request, fault === 'sent damaged' ? flipped(body) : body);
    const other = this.#bodies.findLast((one) => readsObject && one.path !== path)?.body;
    if (readsObject && answer.status < 300) this.#bodies.push({ path, body: answer.body });
    if (fault === 'silent') return;
    if (fault === 'broken after') return void response.socket?.resetAndDestroy();
    if (fault === 'answer broken') return breakWithin(response, answer);
    if (fault === 'slow') return dribble(response, answer);
    if (fault === 'another') return send(response, withBody(answer, other ?? answer.body));
    if (fault === 'damaged') return send(response, withBody(answer, flipped(answer.body)));
    if (fault === 'short') return send(response, withBody(answer, half(answer.body)));
    send(response, answer);
  }

  async #pass(request: http.IncomingMessage, body: Buffer): Promise<Answer> {
    this.passing += 1;
    try {
      const call = this.#call(request);
      call.end(body);
      const [answer] = (await once(call, 'response')) as [http.IncomingMessage];
      const { statusCode: status = 0, headers } = answer;
      return { status, headers, body: await bytesOf(answer) };
    } finally {
      this.passing -= 1;
    }
  }

  #passHalf(request: http.IncomingMessage, body: Buffer): void {
    const call = this.#call(request);
    call.on('error', () => {});
    call.write(body, () => call.destroy());
  }

  /** The signature counts the headers: they are passed on as they are. */
  #call(request: http.IncomingMessage): http.ClientRequest {
    const { method, url: path, headers } = request;
    return http.request({ ...this.#far, agent: this.#agent, method, path, headers });
  }
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(stream));
}

function send(response: http.ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers).end(body);
}

function refuse(response: http.ServerResponse, status: number, code: string): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
}

function withBody({ status, headers }: Answer, body: Buffer): Answer {
  return { status, headers: { ...headers, 'content-length': `${body.length}` }, body };
}

function breakWithin(response: http.ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, headers);
  response.write(half(body), () => response.socket?.resetAndDestroy());
  // Nothing is written of a body that is empty.
  if (body.length < 2) response.socket?.resetAndDestroy();
}

/** Sends an answer in sixteen pieces, each when the one before is on its way. */
async function dribble(response: http.ServerResponse, answer: Answer): Promise<void> {
  response.writeHead(answer.status, answer.headers);
  response.flushHeaders();
  const step = Math.max(1, Math.ceil(answer.body.length / 16));
  for (let at = 0; at < answer.body.length; at += step) {
    await new Promise((passed) => setTimeout(passed, 5));
    response.write(answer.body.subarray(at, at + step));
  }
  response.end();
}

function half(bytes: Buffer): Buffer {
  return bytes.subarray(0, bytes.length >> 1);
}

function flipped(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  if (other.length > 0) other[other.length >> 1]! ^= 1;
  return other;
}
