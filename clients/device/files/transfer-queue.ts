import type { FilePlace, MessageFile } from './message-files.ts';
import type { FilePriority } from './transfer-handler.ts';
import { byUrgency } from './transfer-policy.ts';

/** Most contents that wait unasked. */
const MOST_WAITING = 1_000;

/** Most places of one content that are told what becomes of it. */
const MOST_PLACES = 100;

/** A content that waits to be fetched, or is. */
export class Wanted {
  /** What it is expected under. */
  readonly key: string;
  /** As messages describe it; the first tells where it is fetched. */
  files: readonly MessageFile[];
  priority: FilePriority;
  receivedBytes: number;
  /** 0 for unknown. */
  sizeBytes: number;
  /** Whether its bytes are coming. */
  fetching = false;
  /** Whether it has to wait for another transfer. */
  held = false;
  /** Settled when it is there or can't be had; undefined where nobody asked for it. */
  asked: PromiseWithResolvers<void> | undefined;

  constructor(file: MessageFile, priority: FilePriority, receivedBytes: number) {
    this.key = file.key;
    this.files = [file];
    this.priority = priority;
    this.receivedBytes = receivedBytes;
    this.sizeBytes = file.request.sizeBytes;
  }

  /** How the message describes it that tells where it is fetched. */
  get file(): MessageFile {
    return this.files[0]!;
  }

  /** Those that tell it as the first does. */
  get alike(): readonly MessageFile[] {
    return this.files.filter((file) => isAlike(file, this.file));
  }

  /** Those that tell another url or size. */
  get others(): readonly MessageFile[] {
    return this.files.filter((file) => !isAlike(file, this.file));
  }

  /** Another message carries it, too; whether that is new. */
  join(file: MessageFile): boolean {
    const place = placeKey(file.place);
    const known = this.files.some((one) => placeKey(one.place) === place);
    if (known || this.files.length >= MOST_PLACES) return false;
    this.files = [...this.files, file];
    return true;
  }
}

/** What waits to be fetched, in memory alone, and bounded. */
export class TransferQueue {
  readonly #waiting = new Map<string, Wanted>();

  get(key: string): Wanted | undefined {
    return this.#waiting.get(key);
  }

  /** Puts one in; gives those that are left out for it, because they are the least urgent of too many. */
  add(wanted: Wanted): Wanted[] {
    this.#waiting.set(wanted.key, wanted);
    // So that not every single one is sorted in.
    if (this.#waiting.size <= 2 * MOST_WAITING) return [];
    const rest = new Set([...this.#waiting.values()].sort(compare).slice(MOST_WAITING));
    return this.removeIf((one) => !one.asked && rest.has(one));
  }

  /** Takes out the most urgent of those that may be fetched. */
  take(may: (wanted: Wanted) => boolean): Wanted | undefined {
    let best: Wanted | undefined;
    for (const wanted of this.#waiting.values()) {
      if (may(wanted) && (!best || compare(wanted, best) < 0)) best = wanted;
    }
    if (best) this.#waiting.delete(best.key);
    return best;
  }

  /** Takes out some; gives them. */
  removeIf(which: (wanted: Wanted) => boolean): Wanted[] {
    const some = [...this.#waiting.values()].filter(which);
    for (const { key } of some) this.#waiting.delete(key);
    return some;
  }

  /** Nothing has to wait for another any more, as far as is known. */
  release(): void {
    for (const wanted of this.#waiting.values()) wanted.held = false;
  }
}

function compare(a: Wanted, b: Wanted): number {
  return byUrgency(
    { ...a.file.request, priority: a.priority },
    { ...b.file.request, priority: b.priority },
  );
}

function isAlike({ request: a }: MessageFile, { request: b }: MessageFile): boolean {
  return a.url === b.url && a.sizeBytes === b.sizeBytes;
}

function placeKey({ conversation, seq, position }: FilePlace): string {
  return JSON.stringify([conversation, seq, position]);
}
