import * as http from 'node:http';
import * as https from 'node:https';
import {
  type FetchedFile,
  type FetchOptions,
  FileRefused,
  type FileRequest,
  type TransferHandler,
  unreachable,
} from './transfer-handler.ts';

const MOST_REDIRECTS = 5;

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Statuses below 500 that pass. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

/** Fetches files by HTTP and HTTPS, as they are transferred: nothing is unpacked. */
export class HttpTransfer implements TransferHandler, Disposable {
  readonly #agents = {
    'http:': new http.Agent({ keepAlive: true }),
    'https:': new https.Agent({ keepAlive: true }),
  };

  /**
   * Fetches a file, from `offset` on where the server can and the file is still the same. Refusals:
   * FILE_URL (no such url can be fetched, or it redirects too often, to elsewhere than HTTP, or from
   * HTTPS to HTTP), FILE_GONE (404, 410), FILE_DENIED (any other status below 500 but those that pass).
   */
  async fetch(file: FileRequest, options: FetchOptions): Promise<FetchedFile> {
    const headers = {
      'accept-encoding': 'identity',
      ...(options.offset > 0 && { range: `bytes=${options.offset}-` }),
      ...(options.validator !== undefined && { 'if-range': options.validator }),
    };
    let url = checked(file.url, undefined);
    for (let hops = 0; ; hops++) {
      const response = await this.#get(url, headers, options.signal);
      const { statusCode = 0 } = response;
      const { location } = response.headers;
      const partial = statusCode === 206 || statusCode === 416;
      if (partial && options.offset > 0 && rangeOf(response).from !== options.offset) {
        response.destroy();
        // It ends elsewhere than was thought, or the server can't count: all of it once more.
        return this.fetch(file, { ...options, offset: 0, validator: undefined });
      }
      if (!REDIRECTS.has(statusCode) || location === undefined) {
        return answered(response, options);
      }
      response.destroy();
      if (hops === MOST_REDIRECTS) throw new FileRefused(`${url} redirects too often`, 'FILE_URL');
      url = checked(location, url);
    }
  }

  /** Closes the connections. */
  [Symbol.dispose](): void {
    for (const agent of Object.values(this.#agents)) agent.destroy();
  }

  async #get(
    url: URL,
    headers: http.OutgoingHttpHeaders,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const options = { headers, signal };
    const request =
      url.protocol === 'https:'
        ? https.get(url, { ...options, agent: this.#agents['https:'] })
        : http.get(url, { ...options, agent: this.#agents['http:'] });
    request.once('response', resolve).on('error', reject);
    try {
      return await promise;
    } catch (error) {
      throw unreachable(`${url.host} could not be reached: ${(error as Error).message}`, error);
    }
  }
}

/** A url that may be fetched. */
function checked(text: string, base: URL | undefined): URL {
  const url = URL.parse(text, base?.href);
  const secure = url?.protocol === 'https:';
  if (!url || (!secure && url.protocol !== 'http:')) {
    throw new FileRefused('Only urls of http and https can be fetched', 'FILE_URL');
  }
  if (base?.protocol === 'https:' && !secure) {
    throw new FileRefused(`${base.host} redirects from https to http`, 'FILE_URL');
  }
  return url;
}

function answered(response: http.IncomingMessage, { offset, signal }: FetchOptions): FetchedFile {
  const { statusCode = 0, headers } = response;
  const body = bytesOf(response, signal);
  const validator = validatorOf(headers);
  if (statusCode === 200) {
    const length = headers['content-length'];
    return {
      offset: 0,
      sizeBytes: length === undefined ? undefined : Number(length),
      validator,
      body,
    };
  }
  if (statusCode === 206 && offset > 0) {
    return { offset, sizeBytes: rangeOf(response).sizeBytes, validator, body };
  }
  response.destroy();
  const message = `The server answered with status ${statusCode}`;
  if (statusCode >= 500 || PASSING.has(statusCode)) throw unreachable(message);
  const gone = statusCode === 404 || statusCode === 410;
  throw new FileRefused(message, gone ? 'FILE_GONE' : 'FILE_DENIED');
}

/** Which part of a file comes, and how large the whole is, as far as that is told. */
function rangeOf({ headers }: http.IncomingMessage) {
  const [, from, size] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  return {
    from: from === undefined ? undefined : Number(from),
    sizeBytes: size === undefined || size === '*' ? undefined : Number(size),
  };
}

/** What may stand in If-Range: weak tags may not. */
function validatorOf({ etag, 'last-modified': modified }: http.IncomingHttpHeaders) {
  return etag?.startsWith('"') ? etag : modified;
}

async function* bytesOf(response: http.IncomingMessage, signal: AbortSignal) {
  try {
    yield* response as AsyncIterable<Buffer>;
  } catch (error) {
    signal.throwIfAborted();
    throw unreachable(`The connection broke: ${(error as Error).message}`, error);
  }
}
