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
    ...['content_hash', 'body'],
  ],
  key: ['conversation_id', 'seq'],
};

/** Decides what a user may see of a conversation. */
export const MEMBER: Table = {
  name: 'member',
  columns: ['conversation_id', 'user_name', 'from_seq'],
  key: ['conversation_id', 'user_name'],
};

/** Says only that there may be something in a conversation for a user. */
export const MEMBERSHIP: Table = {
  name: 'membership',
  columns: ['user_name', 'conversation_id'],
  key: ['user_name', 'conversation_id'],
};

/** Every table of the store; a health check looks at each. */
export const TABLES: readonly Table[] = [CONVERSATION, MESSAGE, MEMBER, MEMBERSHIP];
