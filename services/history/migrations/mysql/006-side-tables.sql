-- A user's own revision: the highest of their memberships'.
CREATE TABLE IF NOT EXISTS account (
  user_name VARBINARY(255) NOT NULL,
  revision BIGINT NOT NULL,
  PRIMARY KEY (user_name)
);

-- What is still to be done because of a change in a conversation: written in the change's transaction,
-- applied and removed after it, by the sweep if need be. user_name: whose revision has to rise; empty: the
-- deleted group's messages and members have to go.
CREATE TABLE IF NOT EXISTS pending (
  conversation_id BINARY(16) NOT NULL,
  pending_id BINARY(16) NOT NULL,
  user_name VARBINARY(255) NOT NULL,
  PRIMARY KEY (conversation_id, pending_id)
);

-- The log of changes: which message changed at which revision of its conversation, its latest change
-- alone. user_name: empty, or the one user who hid it.
CREATE TABLE IF NOT EXISTS change_log (
  conversation_id BINARY(16) NOT NULL,
  revision BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  user_name VARBINARY(255) NOT NULL,
  at_ms BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, revision, seq),
  KEY change_log_by_time (at_ms)
);

-- Seqs that are unread for nobody: tombstones, and calls that were not missed.
CREATE TABLE IF NOT EXISTS quiet (
  conversation_id BINARY(16) NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, seq)
);

-- Runs of imported messages, disjoint: unread for nobody as well.
CREATE TABLE IF NOT EXISTS imported (
  conversation_id BINARY(16) NOT NULL,
  from_seq BIGINT NOT NULL,
  to_seq BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, from_seq)
);

-- Messages that a user deleted for themself.
CREATE TABLE IF NOT EXISTS hidden (
  conversation_id BINARY(16) NOT NULL,
  user_name VARBINARY(255) NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, user_name, seq),
  KEY hidden_by_seq (conversation_id, seq)
);

-- Messages that expire; kept after the sweep removed their content (swept: 1), until the floor passes them.
CREATE TABLE IF NOT EXISTS expiry (
  conversation_id BINARY(16) NOT NULL,
  seq BIGINT NOT NULL,
  expires_at_ms BIGINT NOT NULL,
  swept TINYINT NOT NULL,
  PRIMARY KEY (conversation_id, seq),
  KEY expiry_by_time (swept, expires_at_ms)
);

-- Messages in threads, with their kinds.
CREATE TABLE IF NOT EXISTS thread (
  conversation_id BINARY(16) NOT NULL,
  thread VARBINARY(128) NOT NULL,
  kinds TINYINT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, thread, kinds, seq),
  KEY thread_by_seq (conversation_id, seq)
);

-- The highest time among the messages of each full block of 256 seqs: block 0 is seqs 1 to 256.
CREATE TABLE IF NOT EXISTS time_block (
  conversation_id BINARY(16) NOT NULL,
  block BIGINT NOT NULL,
  max_sent_at_ms BIGINT NOT NULL,
  PRIMARY KEY (conversation_id, block)
);

INSERT IGNORE INTO time_block (conversation_id, block, max_sent_at_ms)
SELECT conversation_id, (seq - 1) DIV 256, MAX(sent_at_ms) FROM message
GROUP BY conversation_id, (seq - 1) DIV 256 HAVING COUNT(*) = 256;

-- body: the encoded profile.
CREATE TABLE IF NOT EXISTS profile (
  user_name VARBINARY(255) NOT NULL,
  updated_at_ms BIGINT NOT NULL,
  body MEDIUMBLOB NOT NULL,
  PRIMARY KEY (user_name)
);

-- Users whose erasure is under way.
CREATE TABLE IF NOT EXISTS erasure (
  user_name VARBINARY(255) NOT NULL,
  asked_at_ms BIGINT NOT NULL,
  PRIMARY KEY (user_name)
);

-- Who does a job that one replica does at a time, and until when.
CREATE TABLE IF NOT EXISTS lease (
  name VARBINARY(128) NOT NULL,
  holder BINARY(16) NOT NULL,
  until_ms BIGINT NOT NULL,
  PRIMARY KEY (name)
);
