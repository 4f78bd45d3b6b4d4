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

/** Bytes of one upload that may be under way: 20 MiB/s over a round trip of 50 ms. */
export const UPLOAD_WINDOW_BYTES = 1024 * 1024;

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

/** Least that it may be set to: `Reuse` needs a third of the grace for the last requests of two uploads. */
export const LEAST_TRANSFER_SECONDS = 300;

/** How long packs of an unfinished upload are kept, in longest transfers: to go on with it within a week. */
export const SPARED_TRANSFERS = 7;

/**
 * How long what nothing needs stays before it is deleted, in longest transfers: two of them may end
 * meanwhile, one behind the other, and the rest is for their last requests (see `Reuse`).
 */
export const GRACE_TRANSFERS = 3;

/** More than a root's maps ever come to between two erasures of its database. */
export const MAP_GENERATIONS = 1_000_000;

/** Share of a sealed frame's pages of which fewer are needed where the client sends them once more. */
export const WORN_SHARE = 0.5;

/** Share of a database's frames that may be dead before the deadest packs are stored anew, */
export const MOST_DEAD_SHARE = 0.12;

/** and the share that is left then: so much that the work grows with what changes, not with what is kept. */
export const LEAST_DEAD_SHARE = 0.04;

/** Runs over which the newest backup may be spread: a restore reads as many places at once. */
export const MOST_RUNS = 12;

/** Packs of less than a quarter of PACK_BYTES that the newest backup may need: each is a request. */
export const MOST_SMALL_PACKS = 64;

/** Runs that one compaction reads, whose indexes it holds; */
export const COMPACTED_RUNS = 32;

/** and bytes of frames that it stores anew, about: some minutes' work. */
export const COMPACTED_BYTES = 2 * 1024 ** 3;

/** Marks and deletions of a database at once, in the background: few, for others want the store as well. */
export const COLLECTED_AT_ONCE = 4;

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

/** Bytes of a pack that are read at once, where those before them were wanted; */
export const READ_AHEAD_BYTES = 1024 * 1024;

/** and packs of which one download holds so many: a few more than runs over which a backup is spread. */
export const READ_AHEAD_PACKS = 16;

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

/** Heads that are read at once. */
export const HEADS_AT_ONCE = 16;

/** Objects of a first look at the newest heads: MinIO reads a file for each, and few are in its memory. */
export const LISTED_AT_FIRST = 8;

/** How many times more objects each further look lists. */
export const LISTED_GROWTH = 8;

/**
 * How long the head of a deleted backup, or an erasure, keeps its number, in longest transfers: no upload
 * that was under way takes it again.
 */
export const NUMBER_KEPT_TRANSFERS = 2;

/** Times of the rounds over all databases that the configuration leaves open, in milliseconds. */
export const KEEPER = {
  /** The first comes within this time after the start. */
  firstAfterMs: 60_000,
  /** How long its end may take: longer than what it has under way, unless the store hangs. */
  endMs: 5_000,
};

/** Objects that are deleted at once. */
export const OBJECTS_AT_ONCE = 16;

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

/** Most bytes of an object that is read whole: far more than any such has, and memory for it. */
export const STORE_WHOLE_BYTES = 256 * 1024 * 1024;

/** How long all tries of one request may take, in milliseconds: a caller without a deadline waits no longer. */
export const STORE_REQUEST_MS = 30_000;

/** Most tries of one request to the store, so that a restart of a replica of it is not noticed. */
export const STORE_ATTEMPTS = 5;

/** Longest first pause between two tries, in milliseconds; it doubles with each. */
export const STORE_BACKOFF_MS = 50;

/** Connections to the store: enough for tens of uploads and downloads at once. */
export const STORE_CONNECTIONS = 128;

/** The limits of the process in which SQLite checks a backup. */
export const CHECK = {
  /** Bytes of memory of its own: Node takes 50 MiB of it, SQLite a few more with sound databases. */
  memoryBytes: 128 * 1024 * 1024,
  /** Seconds of the processor that the smallest file may take: sound ones take a tenth of one. */
  seconds: 10,
  /** Bytes of a larger file for each further second: a slow processor checks ten times as many. */
  bytesPerSecond: 8 * 1024 * 1024,
  /** How much longer than that it may take by the clock: the disk may be slow, and others busy. */
  patience: 6,
  /** How long nothing was written to a temporary file that nobody uses any more, in milliseconds. */
  leftoverMs: 600_000,
};

/** The limits of verifying backups. */
export const VERIFIER = {
  /** Verifications that calls wait for, at once; each holds as much as a download, and a process. */
  atOnce: 2,
  /** Calls that wait for one of these: as many as there may be uploads at once, and some more. */
  mostWaiting: 64,
  /** Databases that wait in the background: what is more is left to the next round. */
  mostQueued: 10_000,
  /** How long after a database's last verification a newer backup is due, in milliseconds. */
  dayMs: 24 * 3_600_000,
  /** How often all databases are looked at, in milliseconds: two small requests each. */
  roundMs: 24 * 3_600_000,
  /** The first time comes within this time after the start, in milliseconds. */
  firstAfterMs: 600_000,
  /** How long the end of a round may take, in milliseconds. */
  endMs: 5_000,
};
