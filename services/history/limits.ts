/** Every limit of the history service, each with its reason. Sizes in bytes, times in milliseconds. */

/** A whole message, encoded as it is stored: a frame of a page holds at least one. */
export const MESSAGE_BYTES = 256 * 1024;

/** A message id: room for any product's own key, and still a short index entry. */
export const MESSAGE_ID_BYTES = 128;

/** Messages of one `Append`: one transaction holds the conversation's lock for milliseconds. */
export const APPEND_MESSAGES = 500;

/** Bytes of one `Append`: with gRPC's framing it stays under the 1 MiB that clients buffer to retry. */
export const APPEND_BYTES = 900 * 1024;

/** Conversations of one import batch: each is a transaction, and the batch is answered after all. */
export const IMPORT_RUNS = 64;

/**
 * Messages of one import batch: large enough that round trips don't count, and few enough that MySQL
 * looks up all their ids by the index (with 8,000 ids of 128 bytes it gives up, and reads it all).
 */
export const IMPORT_MESSAGES = 5_000;

/** Bytes of one import batch: under the 4 MiB that a gRPC server receives unless told otherwise. */
export const IMPORT_BYTES = 2 * 1024 * 1024;

/** Bytes of one request: the handlers' own limits with room, so that they say what is too large. */
export const REQUEST_BYTES = {
  history: {
    sync: 16 * 1024,
    append: 1536 * 1024,
    import: 3 * 1024 * 1024,
    editMessage: 512 * 1024,
    deleteMessages: 32 * 1024,
    changes: 16 * 1024,
    markRead: 16 * 1024,
    markDelivered: 16 * 1024,
    listConversations: 16 * 1024,
  },
  directory: {
    createGroup: 1024 * 1024,
    getGroup: 16 * 1024,
    updateGroup: 16 * 1024,
    deleteGroup: 16 * 1024,
    addMembers: 1024 * 1024,
    removeMembers: 512 * 1024,
    setRole: 16 * 1024,
    listMembers: 16 * 1024,
    putProfiles: 1536 * 1024,
    getProfiles: 512 * 1024,
    eraseUser: 16 * 1024,
  },
};

/** Seqs of one `DeleteMessages`: more than a person selects. */
export const DELETE_SEQS = 1_000;

/** Messages that one transaction deletes: as `APPEND_MESSAGES`, and MySQL logs what stood in them. */
export const DELETED_AT_ONCE = 500;

/** Messages of a page whose reader asked for no number: a screenful or two. */
export const SYNC_COUNT_DEFAULT = 50;

/** Messages of one page at most: keeps one stream from running for hours. */
export const SYNC_COUNT_MAX = 1_000_000;

/** Conversations of an inbox's page whose reader asked for no number: a screenful or two. */
export const INBOX_PAGE_DEFAULT = 50;

/** Conversations of an inbox's page at most: one answer is made in memory. */
export const INBOX_PAGE_MAX = 1_000;

/**
 * Bytes of the last messages of an inbox's page, after which it ends early: with names and titles it
 * stays below the 4 MiB that gRPC clients receive unless told otherwise.
 */
export const INBOX_MESSAGE_BYTES = 2 * 1024 * 1024;

/** How far the clocks of replicas may be apart, and an append may take, for an inbox's pages to miss nothing. */
export const INBOX_SLACK_MS = 60_000;

/** Unread messages that are counted exactly: beyond it nobody reads the number. */
export const UNREAD_EXACT = 1_000;

/** Messages of one frame: beyond it nothing is won per message, and a reader waits longer for the first. */
export const FRAME_MESSAGES = 500;

/** Bytes of one frame: small enough that a slow reader's queue of frames stays small. */
export const FRAME_BYTES = 256 * 1024;

/** Seqs among which a page is picked at a time: narrow rows, of which a stream holds one such piece. */
export const WALK_SEQS = 16_384;

/** Rows asked of the store at a time: beyond it nothing is won per row. */
export const READ_ROWS = 1_000;

/** Bytes asked of the store at a time; a stream holds two such pieces at most. */
export const READ_BYTES = 512 * 1024;

/** What a stream asks for first, and then twice as much each time: of who never reads it holds little. */
export const FIRST_READ = { rows: 128, bytes: 32 * 1024 } as const;

/** Limits of calls that differ from those of both services. */
export const CALLS = {
  /** Less than any piece: the next is used once the one before has been sent, and is read meanwhile. */
  writeAheadBytes: 16 * 1024,
} as const;

/** Messages that appends to the same conversation join into one transaction. */
export const JOINED_MESSAGES = 2_000;

/** Bytes that appends to the same conversation join: a multiple of the largest append, far below MySQL's packet. */
export const JOINED_BYTES = 4 * 1024 * 1024;

/** Limits of what stands in a message's content; the message's own size bounds the rest. */
export const CONTENT = {
  /** Files of one message: an album. */
  files: 32,
  /** URL of a file: what servers and browsers take. */
  urlBytes: 4_096,
  /** Name of a file: four times what file systems take. */
  fileNameBytes: 1_024,
  /** Media type: twice what RFC 6838 allows. */
  mediaTypeBytes: 255,
  /** SHA-256 of a file, where it is given. */
  sha256Bytes: 32,
  /** Thumbnail: a blurred preview, not a picture. */
  thumbnailBytes: 64 * 1024,
  /** Key and parameters of a file's encryption. */
  encryptionBytes: 1_024,
  /** People in one call: the largest conferences. */
  participants: 1_000,
  /** The product's key of a call, as long as a message id. */
  callIdBytes: 128,
  /** Name of a place. */
  placeNameBytes: 1_024,
  /** Postal address. */
  addressBytes: 4_096,
  /** Excerpt of the message answered: a few lines. */
  excerptBytes: 4_096,
  /** Key of a thread, as long as a message id. */
  threadBytes: 128,
  /** Name of an opaque payload's scheme. */
  schemeBytes: 128,
} as const;

/** Limits of groups. */
export const GROUP = {
  /** Title: as long as a file's name. */
  titleBytes: 1_024,
  /** Messages that newcomers see: as many as one page may hold. */
  visibleMessages: 1_000_000,
  /** Retention in seconds: 100 years, with leap days. */
  retentionS: 3_155_760_000,
  /** Members: the largest groups that other products have. */
  members: 100_000,
  /** Members of one call: one transaction, and the answer waits for each one's own revision. */
  membersAtOnce: 1_000,
  /** Members of a page whose reader asked for no number. */
  pageDefault: 100,
  /** Members of one page: of the longest names still under 1 MiB. */
  pageMax: 1_000,
  /**
   * Times that one member joins with messages between that they see: what `member.intervals` has room
   * for. Beyond it the oldest part that they saw is no longer shown.
   */
  intervals: 400,
} as const;

/** Limits of profiles. */
export const PROFILE = {
  /** Name to show: as long as a group's title. */
  displayNameBytes: 1_024,
  /** URL of a picture: what servers and browsers take. */
  avatarUrlBytes: 4_096,
  /** Attributes: what a product keeps of a person, not a document. */
  attributes: 64,
  /** Key of an attribute. */
  keyBytes: 128,
  /** Value of an attribute: as long as a URL. */
  valueBytes: 4_096,
  /** Profiles of one call: one statement. */
  atOnce: 500,
  /** Bytes of one `PutProfiles`: as for one `Append`. */
  putBytes: 900 * 1024,
  /** Bytes of one answer: under the 4 MiB that a gRPC client receives unless told otherwise. */
  getBytes: 3 * 1024 * 1024,
  /** Profiles read at a time: of the largest ones still some MiB. */
  readAtOnce: 50,
} as const;

/** Rows of one kind that one transaction of a sweep changes: it holds a conversation's lock for milliseconds. */
export const SWEPT_AT_ONCE = 500;

/** Times of the sweep that the configuration leaves open. */
export const SWEEP = {
  /** The first comes within this time after the start: a service that starts often sweeps, too. */
  firstAfterMs: 5_000,
  /** How long a replica that died keeps others from sweeping, at least: longer than any step takes. */
  leaseMs: 60_000,
} as const;

/** What bounds the store's use of its database. */
export const STORE = {
  /** Connections for reads: MySQL's default of 151 carries five replicas with both kinds. */
  readConnections: 10,
  /** Connections for transactions: those that wait for the disk at the same time share its writes. */
  writeConnections: 20,
  /** Calls that wait for a connection: more would wait longer than their callers do. */
  waiting: 1_000,
  /** Time to connect: a host that is gone does not answer at all. */
  connectTimeoutMs: 5_000,
  /** Time for one statement: a lost quorum hangs, it does not fail. */
  queryTimeoutMs: 10_000,
  /** Time a statement waits for a lock, in seconds: below the statement's own time. */
  lockWaitSeconds: 5,
  /** Tries of one transaction: deadlocks pass at the second, a failover takes longer than any. */
  attempts: 5,
  /** No further try after this time: what hangs is not tried again, its caller is told. */
  retryForMs: 5_000,
  /** Wait before the second try; it doubles with every further one, and half of it is chance. */
  retryDelayMs: 25,
  /** Time to take leave of the database: one that hangs does not answer. */
  closeTimeoutMs: 1_000,
} as const;
