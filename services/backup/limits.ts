/** The limits of the backup service, each with its reason. Those of the stored format are in `clients/format`. */

/** Bytes of a backup's label: words to recognise it by, not a document. */
export const LABEL_BYTES = 255;

/** Bytes of an upload's id: room for any UUID or hash, with a prefix. */
export const UPLOAD_ID_BYTES = 128;

/** Database name of a request that names none. */
export const DEFAULT_DATABASE = 'backup.db';

/** Most bytes of a file in one message of an upload; more would hold much memory for little speed. */
export const DATA_PART_BYTES = 1024 * 1024;

/** Bytes of one request: names and a label, or a part with room, so that the handler can refuse it. */
export const REQUEST_BYTES = {
  uploadBackup: 1536 * 1024,
  downloadBackup: 16 * 1024,
  listBackups: 16 * 1024,
  backupAge: 16 * 1024,
  getBackup: 16 * 1024,
  verifyBackup: 16 * 1024,
  pinBackup: 16 * 1024,
  deleteBackup: 16 * 1024,
  deleteAllBackups: 16 * 1024,
  getUsage: 16 * 1024,
};

/**
 * Uploads and downloads at once in one process; one more is refused. Each usually holds up to 16 MiB,
 * so that all of them hold about half a GiB, however slowly their clients read or send.
 */
export const MOST_TRANSFERS = 32;

/** Bytes of a file in one message of a download: larger ones were not faster. */
export const DOWNLOAD_PART_BYTES = 262_144;

/** Bytes of a file between two messages of progress, so that all of them fit the reader's first window. */
export const PROGRESS_BYTES = 64 * 1024 * 1024;

/** Bytes of a pack: large enough that requests don't count, small enough to hold a few in memory. */
export const PACK_BYTES = 8 * 1024 * 1024;

/** How long a pack stays open at most, in milliseconds: what is stored need not be sent again. */
export const PACK_OPEN_MS = 10_000;

/**
 * Longest that an upload or a download may take, in milliseconds: 64 GiB over 6 Mbit/s. Both go on where
 * they were, as a new one.
 */
export const TRANSFER_MS = 24 * 3_600_000;

/** Pages of a pack, so that its index stays under 400 KiB however small the pages become. */
export const PACK_PAGES = 16_384;

/** Packs of one upload on their way to the store at once, while the next is filled; each holds PACK_BYTES. */
export const PACKS_AT_ONCE = 2;

/** Frames of one upload or download that are packed or unpacked at once: as many as Node has threads for it. */
export const FRAMES_AT_ONCE = 4;

/** Indexes of packs that an upload which broke off left, and that are read at once. */
export const INDEXES_AT_ONCE = 4;

/** Bytes of indexes of older packs that one upload keeps to compare pages with. */
export const INDEX_CACHE_BYTES = 16 * 1024 * 1024;

/** Bytes of unpacked frames that one download keeps: a few for each of a hundred uploads still in use. */
export const FRAME_CACHE_BYTES = 24 * 1024 * 1024;

/** Most bytes that one request of a download reads. */
export const READ_BYTES = 4 * 1024 * 1024;

/** Unneeded bytes between two frames that are read rather than asked for separately. */
export const READ_GAP_BYTES = 64 * 1024;

/** Requests of one download at once, where its pages are scattered over many packs. */
export const READS_AT_ONCE = 3;

/** Newest uploads of a database whose ids are remembered: a client repeats at once or not at all. */
export const UPLOADS_REMEMBERED = 64;

/** Times that a commit tries the next number: up to this many uploads of one database at once succeed. */
export const COMMIT_ATTEMPTS = 64;

/** Longest pause before a commit tries the next number, in milliseconds: a few requests' time. */
export const COMMIT_PAUSE_MS = 100;

/** Heads that are read at once; and how many objects a first look at the newest lists. */
export const HEADS_AT_ONCE = 16;

/** Objects that one listing of the store asks for: as many as MinIO gives. */
export const LISTED_AT_ONCE = 1000;

/** Backups of a page of a list, unless the request says otherwise. */
export const LIST_PAGE = 100;

/** Most backups of a page of a list: about 1 MiB, well under the clients' receive limit. */
export const LARGEST_LIST_PAGE = 1000;

/** How long one try of a request to the store may take, in milliseconds: a pack's time on a slow disk. */
export const STORE_ATTEMPT_MS = 20_000;

/** The same of a small request, such as a listing: long enough for a store that is merely busy. */
export const STORE_SMALL_ATTEMPT_MS = 5_000;

/** Bytes up to which a request is small. */
export const STORE_SMALL_BYTES = 64 * 1024;

/** How long all tries of one request may take, in milliseconds: a caller without a deadline waits no longer. */
export const STORE_REQUEST_MS = 30_000;

/** Most tries of one request to the store, so that a restart of a replica of it is not noticed. */
export const STORE_ATTEMPTS = 5;

/** Longest first pause between two tries, in milliseconds; it doubles with each. */
export const STORE_BACKOFF_MS = 50;

/** Connections to the store: enough for tens of uploads and downloads at once. */
export const STORE_CONNECTIONS = 128;
