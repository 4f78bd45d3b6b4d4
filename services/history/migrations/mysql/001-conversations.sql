-- Every key begins with the column by which the schema can be sharded. Names and ids are bytes:
-- no collation is relied on.

-- kind: 1 pair (names sorted as bytes), 2 group (name_b empty).
CREATE TABLE IF NOT EXISTS conversation (
  conversation_id BINARY(16) NOT NULL,
  kind TINYINT NOT NULL,
  name_a VARBINARY(255) NOT NULL,
  name_b VARBINARY(255) NOT NULL,
  last_seq BIGINT NOT NULL,
  floor_seq BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  last_sent_at_ms BIGINT NOT NULL,
  PRIMARY KEY (conversation_id)
);

-- body: the message as it is sent, without what changes later; that stands in columns of its own.
CREATE TABLE IF NOT EXISTS message (
  conversation_id BINARY(16) NOT NULL,
  seq BIGINT NOT NULL,
  message_id VARBINARY(128) NOT NULL,
  sender VARBINARY(255) NOT NULL,
  sent_at_ms BIGINT NOT NULL,
  content_hash BINARY(16) NOT NULL,
  edited_at_ms BIGINT NOT NULL DEFAULT 0,
  deleted_at_ms BIGINT NOT NULL DEFAULT 0,
  revision BIGINT NOT NULL DEFAULT 0,
  body MEDIUMBLOB NOT NULL,
  PRIMARY KEY (conversation_id, seq),
  UNIQUE KEY message_by_id (conversation_id, message_id)
);

-- Decides what a user may see of a conversation.
CREATE TABLE IF NOT EXISTS member (
  conversation_id BINARY(16) NOT NULL,
  user_name VARBINARY(255) NOT NULL,
  from_seq BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, user_name)
);

-- Says only that there may be something in a conversation for a user.
CREATE TABLE IF NOT EXISTS membership (
  user_name VARBINARY(255) NOT NULL,
  conversation_id BINARY(16) NOT NULL,
  PRIMARY KEY (user_name, conversation_id)
);
