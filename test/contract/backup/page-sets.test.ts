import fc from 'fast-check';
import { expect, it } from 'vitest';
import { digest } from '../../../clients/format/digests.ts';
import type { BackupStore } from '../../../services/backup/store/store.ts';
import { uploadChanges } from './dialogue.ts';
import { engines, opened } from './engines.ts';
import { download, madeDatabase, upload, writePage } from './transfers.ts';

const PAGE_BYTES = 4096;

/** What befalls a device: its file changes, or it uploads. */
type Event =
  | { kind: 'write' | 'grow' | 'shrink'; at: number; count: number }
  | { kind: 'plain' }
  | { kind: 'incremental'; breakAt: number };

const change = fc.record({
  kind: fc.constantFrom('write', 'write', 'grow', 'shrink'),
  at: fc.nat(),
  count: fc.integer({ min: 1, max: 150 }),
});
const event: fc.Arbitrary<Event> = fc.oneof(
  change,
  change,
  fc.record({ kind: fc.constant('plain') }),
  // Some are longer than any dialogue here: those end well.
  fc.record({ kind: fc.constant('incremental'), breakAt: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constant('incremental'), breakAt: fc.constant(1_000) }),
);

/** A page set in its plainest form: `number digest` of each page. */
type PageSet = Set<string>;

/** A device with one database, and what the store must have of it. */
class Device {
  readonly #store: BackupStore;
  readonly #user: string;
  #file = madeDatabase(200);
  #seed = 0;
  #uploads = 0;
  /** Pages of the newest backup, and those that came in tries of the upload that is not committed yet. */
  #newest: PageSet = new Set();
  #left: PageSet = new Set();

  constructor(store: BackupStore, user: string) {
    this.#store = store;
    this.#user = user;
  }

  async meet(event: Event): Promise<void> {
    if (event.kind === 'plain') await this.#uploadPlain();
    else if (event.kind === 'incremental') await this.#uploadChanges(event.breakAt);
    else this.#change(event);
  }

  /** The newest backup is the file as it is now, once it was uploaded to the end. */
  async finish(): Promise<void> {
    await this.#uploadChanges(1_000);
    const { file } = await download(this.#store, { user: this.#user });
    expect(file.equals(this.#file)).toBe(true);
  }

  #change({ kind, at, count }: Extract<Event, { at: number }>): void {
    this.#seed += 1;
    const pages = this.#file.length / PAGE_BYTES;
    if (kind === 'grow') {
      this.#file = Buffer.concat([this.#file, madeDatabase(count, PAGE_BYTES, this.#seed)]);
    } else if (kind === 'shrink') {
      this.#file = this.#file.subarray(0, Math.max(1, pages - count) * PAGE_BYTES);
    } else {
      this.#file = Buffer.from(this.#file);
      for (let n = 0; n < count; n++) {
        writePage(this.#file, (at + n * 7) % pages, PAGE_BYTES, this.#seed);
      }
    }
  }

  async #uploadPlain(): Promise<void> {
    await upload(this.#store, this.#file, this.#start());
    this.#committed();
  }

  async #uploadChanges(breakAt: number): Promise<void> {
    const pages = pagesOf(this.#file);
    const isNew = (page: string) => !this.#newest.has(page) && !this.#left.has(page);
    const lacking = pages.filter(isNew).length;
    const received: string[] = [];
    let requests = 0;
    const uploading = uploadChanges(this.#store, this.#file, this.#start(), {
      onRequest: ({ case: kind, value }) => {
        requests += 1;
        if (requests === breakAt) throw new Error('the client is gone');
        if (kind === 'frame') received.push(...value.pages.map((page) => pages[Number(page)]!));
      },
    });
    try {
      const { asked } = await uploading;
      expect(asked.map((page) => pages[page]!).filter(isNew)).toHaveLength(lacking);
      expect(asked).toHaveLength(lacking);
      this.#committed();
    } catch (error) {
      if (requests !== breakAt) throw error;
      for (const page of received) this.#left.add(page);
    }
  }

  #start() {
    return { user: this.#user, uploadId: `upload ${this.#uploads}` };
  }

  #committed(): void {
    this.#uploads += 1;
    this.#newest = new Set(pagesOf(this.#file));
    this.#left = new Set();
  }
}

function pagesOf(file: Buffer): string[] {
  return Array.from({ length: file.length / PAGE_BYTES }, (_, page) => {
    const bytes = file.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    return `${page} ${digest(bytes).toString('hex')}`;
  });
}

it.each(engines)(
  'uploads ask for the pages that the store lacks, and no others: %s',
  {
    timeout: 180_000,
  },
  async (_name, open) => {
    const store = await opened(open);
    let devices = 0;
    const property = fc.asyncProperty(
      fc.array(event, { minLength: 1, maxLength: 12 }),
      async (events) => {
        devices += 1;
        const device = new Device(store, `device ${devices}`);
        for (const event of events) await device.meet(event);
        await device.finish();
      },
    );
    await fc.assert(property, { numRuns: 25 });
  },
);
