-- The same tables as on MySQL. Names and ids are BLOBs: compared as bytes.

-- kind: 1 pair (names sorted as bytes), 2 group (name_b empty).
CREATE TABLE IF NOT EXISTS conversation (
  conversation_id BLOB NOT NULL PRIMARY KEY,
  kind INTEGER NOT NULL,
  name_a BLOB NOT NULL,
  name_b BLOB NOT NULL,
  last_seq INTEGER NOT NULL,
  floor_seq INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  last_sent_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- body: the message as it is sent, without what changes later; that stands in columns of its own.
CREATE TABLE IF NOT EXISTS message (
  conversation_id BLOB NOT NULL,
  seq INTEGER NOT NULL,
  message_id BLOB NOT NULL,
  sender BLOB NOT NULL,
  sent_at_ms INTEGER NOT NULL,
  content_hash BLOB NOT NULL,
  edited_at_ms INTEGER NOT NULL DEFAULT 0,
  deleted_at_ms INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL DEFAULT 0,
  body BLOB NOT NULL,
  PRIMARY KEY (conversation_id, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX IF NOT EXISTS message_by_id ON message (conversation_id, message_id);

-- Decides what a user may see of a conversation.
CREATE TABLE IF NOT EXISTS member (
  conversation_id BLOB NOT NULL,
  user_name BLOB NOT NULL,
  from_seq INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, user_name)
) STRICT, WITHOUT ROWID;

-- Says only that there may be something in a conversation for a user.
CREATE TABLE IF NOT EXISTS membership (
  user_name BLOB NOT NULL,
  conversation_id BLOB NOT NULL,
  PRIMARY KEY (user_name, conversation_id)
) STRICT, WITHOUT ROWID;
