import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { STORE_CONNECTIONS } from '../../../services/backup/limits.ts';
import { type MinioOptions, MinioStore } from '../../../services/backup/store/minio.ts';
import { type FreshBucket, freshBucket } from '../../support/databases.ts';
import { eventually } from '../../support/eventually.ts';
import { minioClient } from '../../support/minio.ts';
import { BreakingProxy, type Trouble } from './breaking-proxy.ts';
import { optionsOf } from './bucket-options.ts';
import { never } from './engines.ts';
import { RequestProxy } from './request-proxy.ts';

const times = { smallAttemptMs: 1_000, attemptMs: 1_000, requestMs: 5_000 };

describe('a MinIO that fails', () => {
  let stack: AsyncDisposableStack;
  let proxy: BreakingProxy;
  let bucket: FreshBucket;
  let store: MinioStore;
  let direct: MinioStore;
  let near: MinioOptions;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    bucket = stack.use(await freshBucket(inject('minioUrl')));
    const options = optionsOf(bucket);
    proxy = stack.use(await BreakingProxy.start(options.endPoint, options.port));
    direct = stack.use(new MinioStore(options));
    near = { ...options, endPoint: '127.0.0.1', port: proxy.port };
    store = stack.use(new MinioStore({ ...near, times }));
    await store.check(never);
  });
  afterEach(() => stack.disposeAsync());

  it.each<Trouble>(['silent', 'reset', 'answers lost'])(
    'for good (%s) is UNAVAILABLE, and lets go of everything',
    async (trouble) => {
      await store.put('u/a/x', Buffer.from('there'), never);
      proxy.trouble = trouble;
      const unavailable = { reason: 'STORE_UNAVAILABLE' };
      await Promise.all([
        expect(store.put('u/a/y', randomBytes(100_000), never)).rejects.toMatchObject(unavailable),
        expect(store.get('u/a/x', undefined, never)).rejects.toMatchObject(unavailable),
        expect(store.list('u/', { limit: 1 }, never)).rejects.toMatchObject(unavailable),
        expect(store.check(never)).rejects.toMatchObject(unavailable),
      ]);
      expect(store.requestsInFlight).toBe(0);
      proxy.trouble = 'none';
      expect((await store.get('u/a/x', undefined, never))?.toString()).toBe('there');
    },
  );

  it.each<Trouble>(['silent', 'reset', 'answers lost'])(
    'for a moment (%s) is not noticed',
    async (trouble) => {
      const bytes = randomBytes(3 << 20);
      proxy.trouble = trouble;
      const putting = store.put('u/a/x', bytes, never);
      await eventually(() => expect(proxy.troubled).toBeGreaterThan(0));
      proxy.trouble = 'none';
      // Where the first answer was lost, the second attempt meets the object that the first one made.
      expect(await putting).toBe('created');
      expect((await direct.get('u/a/x', undefined, never))?.equals(bytes)).toBe(true);
    },
  );

  it('and hangs is given up when the time of a request is over, and sooner where it is small', async () => {
    proxy.trouble = 'silent';
    const hour = 3_600_000;
    const unavailable = { reason: 'STORE_UNAVAILABLE' };
    await using short = new MinioStore({
      ...near,
      times: { smallAttemptMs: hour, attemptMs: hour, requestMs: 100 },
    });
    await expect(short.put('u/a/x', Buffer.alloc(1 << 20), never)).rejects.toMatchObject(
      unavailable,
    );
    await expect(short.list('u/', { limit: 1 }, never)).rejects.toMatchObject(unavailable);
    await using small = new MinioStore({
      ...near,
      times: { smallAttemptMs: 100, attemptMs: hour, requestMs: hour },
    });
    await expect(small.get('u/a/x', undefined, never)).rejects.toMatchObject(unavailable);
    await expect(small.list('u/', { limit: 1 }, never)).rejects.toMatchObject(unavailable);
  });

  it('after it took a put is told from another that was quicker', async () => {
    proxy.trouble = 'answers lost';
    const putting = store.put('u/a/x', Buffer.from('ours'), never);
    await eventually(() => expect(proxy.troubled).toBeGreaterThan(0));
    proxy.trouble = 'none';
    expect(await putting).toBe('created');
    expect(await direct.put('u/a/x', Buffer.from('theirs'), never)).toBe('exists');
  });

  it('and refuses more requests than there are connections is there again afterwards', async () => {
    const { endPoint, port } = optionsOf(bucket);
    const busy = stack.use(await RequestProxy.start(endPoint, port));
    await using other = new MinioStore({ ...near, port: busy.port, times });
    busy.onRequest = () => 'busy';
    const lists = Array.from({ length: 40 }, () => other.list('u/', { limit: 1 }, never));
    for (const { status } of await Promise.allSettled(lists)) expect(status).toBe('rejected');
    expect(busy.seen.length).toBeGreaterThan(STORE_CONNECTIONS);
    busy.onRequest = () => undefined;
    expect(await other.list('u/', { limit: 1 }, never)).toEqual([]);
  });

  it('and denies a put that meets a delete is asked again, and given up when it denies all', async () => {
    const { endPoint, port } = optionsOf(bucket);
    const denying = stack.use(await RequestProxy.start(endPoint, port));
    await using other = new MinioStore({ ...near, port: denying.port, times });
    await other.check(never);
    denying.seen = [];
    denying.onRequest = ({ number }) => (number === 1 ? 'denied' : undefined);
    expect(await other.put('u/a/x', Buffer.from('there'), never)).toBe('created');
    expect((await direct.get('u/a/x', undefined, never))?.toString()).toBe('there');
    denying.onRequest = () => 'denied';
    const put = other.put('u/a/y', Buffer.from('never there'), never);
    await expect(put).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
    expect(await direct.get('u/a/y', undefined, never)).toBeUndefined();
  });

  it('and answers with more than was asked for is asked again', async () => {
    const { endPoint, port } = optionsOf(bucket);
    const wrong = stack.use(await RequestProxy.start(endPoint, port));
    await using other = new MinioStore({ ...near, port: wrong.port, times });
    const bytes = randomBytes(1_000);
    await other.put('u/a/x', randomBytes(1 << 20), never);
    await other.put('u/a/y', bytes, never);
    await other.get('u/a/x', undefined, never);
    let reads = 0;
    wrong.onRequest = ({ readsObject }) => (readsObject && ++reads === 1 ? 'another' : undefined);
    const got = await other.get('u/a/y', { offset: 10, length: 50 }, never);
    expect(got?.equals(bytes.subarray(10, 60))).toBe(true);
    expect(reads).toBe(2);
  });

  it('is let go of as soon as nobody waits', async () => {
    proxy.trouble = 'silent';
    const gone = new AbortController();
    const putting = store.put('u/a/x', randomBytes(1 << 20), gone.signal);
    await eventually(() => expect(proxy.troubled).toBeGreaterThan(0));
    gone.abort(new Error('nobody waits'));
    await expect(putting).rejects.toThrow('nobody waits');
    expect(store.requestsInFlight).toBe(0);
  });

  it('makes its bucket at the first contact, and is gone when that is', async () => {
    const bucket = await freshBucket(inject('minioUrl'));
    const options = optionsOf(bucket);
    await bucket[Symbol.asyncDispose]();
    await using other = new MinioStore(options);
    expect(await other.list('u/', { limit: 1 }, never)).toEqual([]);
    expect(await other.put('u/a/x', Buffer.from('there'), never)).toBe('created');

    await bucket[Symbol.asyncDispose]();
    const gone = { reason: 'STORE_UNAVAILABLE' };
    await expect(other.check(never)).rejects.toMatchObject(gone);
    await expect(other.list('u/', { limit: 1 }, never)).rejects.toMatchObject(gone);
    await expect(other.get('u/a/x', undefined, never)).rejects.toMatchObject(gone);
    await expect(other.put('u/a/x', Buffer.from('x'), never)).rejects.toMatchObject(gone);

    await minioClient(inject('minioUrl')).makeBucket(options.bucket);
    expect(await other.put('u/a/x', Buffer.from('again'), never)).toBe('created');
    await bucket[Symbol.asyncDispose]();
  });

  it('refuses wrong keys at once', async () => {
    await using wrong = new MinioStore({ ...optionsOf(bucket), secretKey: 'not the secret' });
    await expect(wrong.check(never)).rejects.toMatchObject({ reason: 'STORE_UNAVAILABLE' });
  });
});
