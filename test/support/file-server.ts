import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request as it came. */
export interface Asked {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** How a path is answered; `nth` counts its requests from 0. */
export type Answer = (response: ServerResponse, asked: Asked, nth: number) => void;

/** Serves files over HTTP, as they are told to it, and keeps what was asked. */
export class FileServer implements AsyncDisposable {
  readonly asked: Asked[] = [];
  /** Most requests that were being answered at once. */
  mostAtOnce = 0;
  readonly #answers = new Map<string, Answer>();
  readonly #server = createServer((request, response) => {
    const asked = { path: request.url!, headers: request.headers };
    const nth = this.askedOf(asked.path).length;
    this.asked.push(asked);
    this.#open.add(response);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#open.size);
    response.once('close', () => this.#open.delete(response));
    const answer = this.#answers.get(asked.path);
    if (answer) answer(response, asked, nth);
    else response.writeHead(404).end();
  });
  readonly #open = new Set<ServerResponse>();

  static async start(): Promise<FileServer> {
    const server = new FileServer();
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  /** Requests that are being answered. */
  get open(): number {
    return this.#open.size;
  }

  /** Gives the url of a path, which is answered like that from now on. */
  put(path: string, answer: Answer): string {
    this.#answers.set(path, answer);
    return this.url(path);
  }

  url(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  /** What was asked of a path. */
  askedOf(path: string): Asked[] {
    return this.asked.filter((one) => one.path === path);
  }

  /** How many connections there are. */
  async connections(): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#server.getConnections((_, count) => resolve(count));
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Answers with a file, and the rest of it where that is asked for. */
export function whole(bytes: Buffer): Answer {
  return (response, asked) => response.end(begun(response, asked, bytes));
}

/**
 * Answers with a file, of which at most `most` bytes come before the connection breaks: once `arrived`,
 * which is told how many the other end must then have, resolves.
 */
export function cut(
  bytes: Buffer,
  most: number,
  arrived: (receivedBytes: number) => Promise<unknown>,
): Answer {
  return async (response, asked) => {
    const rest = begun(response, asked, bytes);
    if (rest.length <= most) {
      response.end(rest);
      return;
    }
    response.write(rest.subarray(0, most));
    await arrived(bytes.length - rest.length + most);
    response.destroy();
  };
}

/** Answers with a file, of which `most` bytes come, and then nothing more, but the first `times` alone. */
export function held(bytes: Buffer, most: number, times = Infinity): Answer {
  return (response, asked, nth) => {
    const rest = begun(response, asked, bytes);
    if (nth >= times) response.end(rest);
    else response.write(rest.subarray(0, most));
  };
}

/** SHA-256, as a message tells it. */
export function sha256Of(bytes: Uint8Array): Uint8Array {
  return createHash('sha256').update(bytes).digest();
}

/** Sends the head of an answer; gives what is to follow. */
function begun(response: ServerResponse, { headers }: Asked, bytes: Buffer): Buffer {
  const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
  const range = /^bytes=(\d+)-$/.exec(headers.range ?? '');
  const same = headers['if-range'] === undefined || headers['if-range'] === etag;
  const from = range && same ? Number(range[1]) : 0;
  response.setHeader('etag', etag);
  response.setHeader('content-length', bytes.length - from);
  if (from > 0) {
    response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
    response.statusCode = 206;
  }
  return bytes.subarray(from);
}
