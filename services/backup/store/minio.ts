import { AsyncLocalStorage } from 'node:async_hooks';
import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, S3Error } from 'minio';
import { signV4 } from 'minio/dist/esm/signing.mjs';
import {
  STORE_ATTEMPT_MS,
  STORE_ATTEMPTS,
  STORE_BACKOFF_MS,
  STORE_CONNECTIONS,
  STORE_REQUEST_MS,
  STORE_SMALL_ATTEMPT_MS,
  STORE_SMALL_BYTES,
  STORE_WHOLE_BYTES,
} from '../limits.ts';
import { parseListing } from './listing.ts';
import {
  type BackupStore,
  type ByteRange,
  hasCode,
  type ListOptions,
  type StoredObject,
  storeUnavailable,
} from './store.ts';

/** Where a MinIO is, and the limits of talking to it. */
export interface MinioOptions {
  endPoint: string;
  port: number;
  tls: boolean;
  bucket: string;
  accessKey: string;
  secretKey: string;
  /** How long tries of requests may take, in milliseconds; those of `limits.ts` unless given. */
  times?: StoreTimes;
}

/** How long requests may take, in milliseconds. */
export interface StoreTimes {
  /** One try of a small request. */
  smallAttemptMs: number;
  /** One try of any other. */
  attemptMs: number;
  /** All tries of a request. */
  requestMs: number;
}

const TIMES: StoreTimes = {
  smallAttemptMs: STORE_SMALL_ATTEMPT_MS,
  attemptMs: STORE_ATTEMPT_MS,
  requestMs: STORE_REQUEST_MS,
};

/** Any will do for MinIO, and without one the library asks for it first. */
const REGION = 'us-east-1';

/** How far this machine's clock may be off before requests are signed by the store's: that allows 15 minutes. */
const CLOCK_TOLERANCE_MS = 60_000;

/** A request as the library hands it over. */
interface SignedRequest extends Omit<Parameters<typeof signV4>[0], 'headers'> {
  headers: Record<string, string>;
}

/**
 * A store in a bucket of MinIO, which is made where it is absent at the first contact.
 *
 * The client library is used for what it does well: it signs requests, and reads the answers. It
 * has no way to end a request, so its transport here gives each the signal of the call that it
 * belongs to. Its own retry is off, because it loses the reason of the failure.
 */
export class MinioStore implements BackupStore {
  readonly #bucket: string;
  readonly #credentials: Pick<MinioOptions, 'accessKey' | 'secretKey'>;
  readonly #times: StoreTimes;
  readonly #agent: http.Agent;
  readonly #client: Client;
  readonly #signals = new AsyncLocalStorage<AbortSignal>();
  /** How far the store's clock is ahead of this machine's, by the last answer. */
  #aheadMs: number | undefined;
  /** Whether the bucket was ever there; it is not made again after that. */
  #hadBucket = false;
  #requestsInFlight = 0;

  constructor(options: MinioOptions) {
    this.#bucket = options.bucket;
    this.#credentials = options;
    this.#times = options.times ?? TIMES;
    const module = options.tls ? https : http;
    this.#agent = new module.Agent({ keepAlive: true, maxSockets: STORE_CONNECTIONS });
    this.#client = new Client({
      endPoint: options.endPoint,
      port: options.port,
      useSSL: options.tls,
      accessKey: options.accessKey,
      secretKey: options.secretKey,
      region: REGION,
      transport: { request: this.#requester(module.request) },
      transportAgent: this.#agent,
      retryOptions: { disableRetry: true },
    });
  }

  get requestsInFlight(): number {
    return this.#requestsInFlight;
  }

  async put(key: string, bytes: Buffer, signal: AbortSignal): Promise<'created' | 'exists'> {
    let uncertain = false;
    const work = async (): Promise<'created' | 'exists'> => {
      try {
        // `putObject` copies the bytes, and hashes them twice.
        const headers = { 'If-None-Match': '*', 'Content-Type': 'application/octet-stream' };
        const request = { method: 'PUT', bucketName: this.#bucket, objectName: key, headers };
        await this.#client.makeRequestAsyncOmit(request, bytes);
        return 'created';
      } catch (error) {
        if (isRefused(error)) return 'exists';
        uncertain = true;
        throw error;
      }
    };
    const outcome = await this.#attempts(bytes.length, signal, work);
    if (outcome === 'created' || !uncertain) return outcome;
    // An attempt whose answer was lost may be what is there now.
    const stored = await this.get(key, { offset: 0, length: bytes.length + 1 }, signal);
    return stored?.equals(bytes) === true ? 'created' : 'exists';
  }

  get(key: string, range: ByteRange | undefined, signal: AbortSignal): Promise<Buffer | undefined> {
    // Only what is small is read whole.
    return this.#attempts(range?.length ?? 0, signal, async () => {
      try {
        const { offset = 0, length = 0 } = range ?? {};
        const stream = await this.#client.getPartialObject(this.#bucket, key, offset, length);
        const most = length > 0 ? length : STORE_WHOLE_BYTES;
        return await collect(stream as http.IncomingMessage, most);
      } catch (error) {
        if (hasCode(error, 'NoSuchKey')) return undefined;
        if (hasCode(error, 'InvalidRange')) return Buffer.alloc(0);
        throw error;
      }
    });
  }

  delete(key: string, signal: AbortSignal): Promise<void> {
    return this.#attempts(0, signal, () => this.#client.removeObject(this.#bucket, key));
  }

  list(prefix: string, options: ListOptions, signal: AbortSignal): Promise<StoredObject[]> {
    const query = queryOf({
      'list-type': '2',
      'encoding-type': 'url',
      'max-keys': String(options.limit),
      'start-after': options.startAfter ?? '',
      prefix,
    });
    return this.#attempts(0, signal, async () => {
      const request = { method: 'GET', bucketName: this.#bucket, query };
      return parseListing(await text(await this.#client.makeRequestAsync(request)));
    });
  }

  async nowMs(signal: AbortSignal): Promise<number> {
    if (this.#aheadMs === undefined) await this.check(signal);
    return Date.now() + (this.#aheadMs ?? 0);
  }

  check(signal: AbortSignal): Promise<void> {
    return this.#attempts(0, signal, () => this.#findBucket());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
  }

  /**
   * Tries a request that moves so many bytes until it succeeds, its time is up, or an answer says
   * that trying again can't help.
   */
  async #attempts<T>(sizeBytes: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const { smallAttemptMs, attemptMs, requestMs } = this.#times;
    const mostMs = sizeBytes <= STORE_SMALL_BYTES ? smallAttemptMs : attemptMs;
    const endMs = performance.now() + requestMs;
    for (let attempt = 1; ; attempt++) {
      const leftMs = Math.max(0, endMs - performance.now());
      try {
        return await this.#attempt(Math.min(mostMs, leftMs), signal, work);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof S3Error && !mayPass(error)) throw storeUnavailable(error);
        if (attempt === STORE_ATTEMPTS || performance.now() >= endMs) throw storeUnavailable(error);
      }
      await pause(STORE_BACKOFF_MS * 2 ** attempt * Math.random(), signal);
    }
  }

  /** Tries once. Everything that it sends ends when it ends. */
  async #attempt<T>(ms: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    this.#requestsInFlight += 1;
    const ending = new AbortController();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const end = (reason: unknown) => {
      ending.abort(reason);
      reject(reason);
    };
    const onAbort = () => end(signal.reason);
    signal.addEventListener('abort', onAbort);
    const timer = setTimeout(() => end(new Error('the store does not answer')), ms);
    try {
      return await Promise.race([ended, this.#signals.run(ending.signal, () => this.#do(work))]);
    } catch (error) {
      // What is left unread of an answer would keep its connection.
      ending.abort(error);
      throw error;
    } finally {
      this.#requestsInFlight -= 1;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #do<T>(work: () => Promise<T>): Promise<T> {
    if (!this.#hadBucket) await this.#findBucket();
    return work();
  }

  async #findBucket(): Promise<void> {
    if (!(await this.#client.bucketExists(this.#bucket))) {
      if (this.#hadBucket) throw new Error('the bucket is gone');
      await this.#client.makeBucket(this.#bucket).catch((error: unknown) => {
        // Another replica made it at the same time.
        if (!hasCode(error, 'BucketAlreadyOwnedByYou')) throw error;
      });
    }
    this.#hadBucket = true;
  }

  /** Sends each request with the signal of its call, and learns the store's time from each answer. */
  #requester(request: typeof http.request): typeof http.request {
    const send = (options: SignedRequest, onAnswer: (answer: http.IncomingMessage) => void) => {
      const signed =
        Math.abs(this.#aheadMs ?? 0) > CLOCK_TOLERANCE_MS ? this.#sign(options) : options;
      return request({ ...signed, signal: this.#signals.getStore() }, (answer) => {
        const { statusCode = 0, headers } = answer;
        const sentMs = Date.parse(headers.date ?? '');
        // What stands between may say that the store is gone, by another clock.
        if (statusCode < 500 && !Number.isNaN(sentMs)) this.#aheadMs = sentMs - Date.now();
        onAnswer(answer);
      });
    };
    return send as typeof http.request;
  }

  /** Signs a request anew by the store's clock: it refuses what is signed by one that is far off. */
  #sign(options: SignedRequest): SignedRequest {
    const { accessKey, secretKey } = this.#credentials;
    const date = new Date(Date.now() + (this.#aheadMs ?? 0));
    const amzDate = date.toISOString().replace(/[-:]|\.\d{3}/g, '');
    const headers = { ...options.headers, 'x-amz-date': amzDate };
    const sha256 = options.headers['x-amz-content-sha256'] ?? '';
    // The old signature is not among the headers that are signed.
    const authorization = signV4(
      { ...options, headers },
      accessKey,
      secretKey,
      REGION,
      date,
      sha256,
    );
    return { ...options, headers: { ...headers, authorization } };
  }
}

/** Reads an answer's body, whose length is known and at most `most`. */
async function collect(answer: http.IncomingMessage, most: number): Promise<Buffer> {
  const expected = Number(answer.headers['content-length']);
  if (!(expected <= most)) throw new Error('the answer is longer than what was asked for');
  const bytes = Buffer.allocUnsafeSlow(expected);
  let length = 0;
  for await (const chunk of answer) {
    bytes.set(chunk, length);
    length += chunk.length;
  }
  if (length !== bytes.length) throw new Error('the answer ends early');
  return bytes;
}

/** Waits, and throws the signal's reason when that fires. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
}

/** Whether the store holds an object under the key already. */
function isRefused(error: unknown): boolean {
  return hasCode(error, 'PreconditionFailed');
}

/**
 * Codes of errors that may pass, most because the request did not arrive as it was sent. What MinIO
 * answers while it starts, or has too much to do, comes without a code, because the library does not
 * read it.
 */
const PASSING = [
  // MinIO says so as well to a put that meets a delete of the same object or the last one beside it.
  'AccessDenied',
  'BadDigest',
  'IncompleteBody',
  'RequestTimeout',
  // The answer has told the right time.
  'RequestTimeTooSkewed',
  'XAmzContentSHA256Mismatch',
];

function mayPass(error: S3Error): boolean {
  return PASSING.some((code) => hasCode(error, code));
}

/** What follows the question mark of a URL. */
function queryOf(fields: Readonly<Record<string, string>>): string {
  const set = Object.entries(fields).filter(([, value]) => value !== '');
  return set.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
}
