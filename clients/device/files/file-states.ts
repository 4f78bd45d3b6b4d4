import type { LocalStore } from '../local/local-store.ts';
import type { FileStore } from './file-store.ts';
import type { FilePlace, MessageFile } from './message-files.ts';

/** Where a message's file is. */
export interface FileState extends FilePlace {
  /**
   * `absent`: nobody fetches it, for it was not decided to, is to be asked for, or could not be reached;
   * `refused`: it can't be had, and is not fetched again but by `fetchFile`.
   */
  readonly state: 'absent' | 'queued' | 'fetching' | 'present' | 'refused';
  /** Of a file that is present: to be read, not to be changed. Looking for it counts as its use. */
  readonly path?: string;
  /** Bytes that have come, also of a transfer that broke off. */
  readonly receivedBytes: number;
  /** 0 for unknown. */
  readonly sizeBytes: number;
  /** Why it was refused, or could not be fetched just now. */
  readonly reason?: string;
}

/** What became of a file, as far as its message does not tell. */
interface FileRecord {
  /** What came; null where it was refused. */
  readonly sha256: string | null;
  /** The reason of the refusal; null where it came. */
  readonly failure: string | null;
}

/** What is known of files that nobody fetches: by the store, and the table `file`. */
export class FileStates {
  readonly #local: LocalStore;
  readonly #store: FileStore;

  constructor(local: LocalStore, store: FileStore) {
    this.#local = local;
    this.#store = store;
  }

  /** Where a file is. */
  of({ place, key, sha256, request }: MessageFile): FileState {
    const told = sha256 === undefined ? undefined : this.#store.find(sha256);
    const record = told ? undefined : this.#find(place, key);
    const found = told ?? (record?.sha256 ? this.#store.find(record.sha256) : undefined);
    if (found) return { ...place, state: 'present', receivedBytes: found.sizeBytes, ...found };
    const { sizeBytes } = request;
    const tooLarge = sizeBytes > this.#store.quota.quotaBytes ? 'FILE_TOO_LARGE' : undefined;
    const reason = record?.failure ?? tooLarge;
    const receivedBytes = this.#store.partBytes(key);
    if (!reason) return { ...place, state: 'absent', receivedBytes, sizeBytes };
    return { ...place, state: 'refused', receivedBytes, sizeBytes, reason };
  }

  /** Notes what became of files, as far as their messages do not tell; undefined for nothing. */
  put(files: readonly MessageFile[], record: FileRecord | undefined): void {
    const changed = files.filter(({ place, key }) => !same(this.#find(place, key), record));
    if (changed.length === 0) return;
    this.#local.write(() => {
      for (const { place, key } of changed) this.#put(place, key, record);
    });
  }

  /** What became of the file at a place, if it is still the one that was expected under `key`. */
  #find(place: FilePlace, key: string): FileRecord | undefined {
    const id = this.#local.conversation(place.conversation)?.id;
    if (id === undefined || place.seq === undefined) return undefined;
    return this.#local.sqlite.get<FileRecord>(
      `SELECT sha256, failure FROM file
       WHERE conversation_id = ? AND seq = ? AND position = ? AND expected = ?`,
      ...[id, place.seq, place.position, key],
    );
  }

  #put(
    { conversation, seq, position }: FilePlace,
    key: string,
    record: FileRecord | undefined,
  ): void {
    const id = this.#local.conversation(conversation)?.id;
    if (id === undefined || seq === undefined) return;
    const { sqlite } = this.#local;
    sqlite.run(
      'DELETE FROM file WHERE conversation_id = ? AND seq = ? AND position = ?',
      ...[id, seq, position],
    );
    if (!record) return;
    sqlite.run(
      `INSERT INTO file (conversation_id, seq, position, expected, sha256, failure)
       VALUES (?, ?, ?, ?, ?, ?)`,
      ...[id, seq, position, key, record.sha256, record.failure],
    );
  }
}

function same(a: FileRecord | undefined, b: FileRecord | undefined): boolean {
  return a?.sha256 === b?.sha256 && a?.failure === b?.failure;
}
