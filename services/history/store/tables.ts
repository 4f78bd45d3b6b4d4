import type { Table } from './database.ts';

/** A conversation as it stands. */
export const CONVERSATION: Table = {
  name: 'conversation',
  columns: [
    ...['conversation_id', 'kind', 'name_a', 'name_b'],
    ...['last_seq', 'floor_seq', 'revision', 'last_sent_at_ms'],
  ],
  key: ['conversation_id'],
};

/** Its other columns tell what changed later: a new message has their defaults. */
export const MESSAGE: Table = {
  name: 'message',
  columns: [
    ...['conversation_id', 'seq', 'message_id', 'sender', 'sent_at_ms'],
    ...['content_hash', 'body', 'kinds'],
  ],
  key: ['conversation_id', 'seq'],
};

/** Decides what a user may see of a conversation. Who is new has hidden nothing: its other columns' defaults. */
export const MEMBER: Table = {
  name: 'member',
  columns: [
    ...['conversation_id', 'user_name', 'role', 'intervals', 'epoch'],
    ...['read_seq', 'delivered_seq', 'joined_at_ms', 'left_sent_at_ms', 'left_title'],
  ],
  key: ['conversation_id', 'user_name'],
};

/** Says only that there may be something in a conversation for a user. */
export const MEMBERSHIP: Table = {
  name: 'membership',
  columns: ['user_name', 'conversation_id', 'revision'],
  key: ['user_name', 'conversation_id'],
};

/** A user's own revision. */
export const ACCOUNT: Table = {
  name: 'account',
  columns: ['user_name', 'revision'],
  key: ['user_name'],
};

/** What is still to be done because of a change in a conversation. */
export const PENDING: Table = {
  name: 'pending',
  columns: ['conversation_id', 'pending_id', 'user_name'],
  key: ['conversation_id', 'pending_id'],
};

/** Which message changed at which revision; with a user, who hid it. */
export const CHANGE_LOG: Table = {
  name: 'change_log',
  columns: ['conversation_id', 'revision', 'seq', 'user_name', 'at_ms'],
  key: ['conversation_id', 'revision', 'seq'],
};

/** Seqs that are unread for nobody: tombstones, and calls that were not missed. */
export const QUIET: Table = {
  name: 'quiet',
  columns: ['conversation_id', 'seq'],
  key: ['conversation_id', 'seq'],
};

/** Runs of imported messages, disjoint: unread for nobody as well. */
export const IMPORTED: Table = {
  name: 'imported',
  columns: ['conversation_id', 'from_seq', 'to_seq'],
  key: ['conversation_id', 'from_seq'],
};

/** Messages that a user deleted for themself. */
export const HIDDEN: Table = {
  name: 'hidden',
  columns: ['conversation_id', 'user_name', 'seq'],
  key: ['conversation_id', 'user_name', 'seq'],
};

/** Messages that expire. */
export const EXPIRY: Table = {
  name: 'expiry',
  columns: ['conversation_id', 'seq', 'expires_at_ms', 'swept'],
  key: ['conversation_id', 'seq'],
};

/** Messages in threads, with their kinds. */
export const THREAD: Table = {
  name: 'thread',
  columns: ['conversation_id', 'thread', 'kinds', 'seq'],
  key: ['conversation_id', 'thread', 'kinds', 'seq'],
};

/** Seqs of a block of `TIME_BLOCK`. */
export const BLOCK_SEQS = 256;

/** The highest time among the messages of each full block: block 0 is seqs 1 to 256. */
export const TIME_BLOCK: Table = {
  name: 'time_block',
  columns: ['conversation_id', 'block', 'max_sent_at_ms'],
  key: ['conversation_id', 'block'],
};

/** Encoded profiles. */
export const PROFILE: Table = {
  name: 'profile',
  columns: ['user_name', 'updated_at_ms', 'body'],
  key: ['user_name'],
};

/** Users whose erasure is under way. */
export const ERASURE: Table = {
  name: 'erasure',
  columns: ['user_name', 'asked_at_ms'],
  key: ['user_name'],
};

/** Who does a job that one replica does at a time. */
export const LEASE: Table = {
  name: 'lease',
  columns: ['name', 'holder', 'until_ms'],
  key: ['name'],
};

/** Every table; a health check looks at each. */
export const TABLES: readonly Table[] = [
  ...[CONVERSATION, MESSAGE, MEMBER, MEMBERSHIP, ACCOUNT, PENDING, CHANGE_LOG, QUIET, IMPORTED],
  ...[HIDDEN, EXPIRY, THREAD, TIME_BLOCK, PROFILE, ERASURE, LEASE],
];
