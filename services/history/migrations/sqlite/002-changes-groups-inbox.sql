-- As on MySQL.

-- title to retention_s: a group's settings (visibility: 1 all, 2 last visible_messages, 3 from joining).
-- created_at_ms: 0 for pairs, and for groups that nobody created. deleted_at_ms: of a group; its name stays.
-- appended_at_ms: the service's time of the last append. log_revision: every change after it is in change_log.
-- imported_from_seq: where the run of imported messages began that last_seq ends; 0 where it ends none.
-- expiring: some message has an expiry. incomplete: a pair whose member rows have to be made again.
ALTER TABLE conversation ADD COLUMN title BLOB NOT NULL DEFAULT x'';
ALTER TABLE conversation ADD COLUMN visibility INTEGER NOT NULL DEFAULT 1;
ALTER TABLE conversation ADD COLUMN visible_messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN retention_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN deleted_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN member_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN appended_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN log_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN imported_from_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN expiring INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN incomplete INTEGER NOT NULL DEFAULT 0;

-- kinds: bits that tell what a message holds, as domain/kinds.ts names them; 0 for a tombstone.
ALTER TABLE message ADD COLUMN kinds INTEGER NOT NULL DEFAULT 1;
CREATE INDEX IF NOT EXISTS message_by_kinds ON message (conversation_id, kinds, seq);

-- role: 0 former member, 1 member, 2 moderator, 3 owner. intervals: seqs that the user may see, as JSON:
-- [[from, to], …, [from]], ascending, disjoint, both ends inclusive; one without an end is open.
-- hidden_up_to_seq: deleted for this user up to there. hides: `hidden` has rows of this user.
-- left_sent_at_ms: time of the last message that a former member may see. left_title: the group's then.
ALTER TABLE member ADD COLUMN role INTEGER NOT NULL DEFAULT 1;
ALTER TABLE member ADD COLUMN intervals BLOB NOT NULL DEFAULT x'5b5b315d5d';
ALTER TABLE member ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1;
ALTER TABLE member ADD COLUMN hidden_up_to_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN hides INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN read_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN delivered_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN joined_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN left_sent_at_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE member ADD COLUMN left_title BLOB NOT NULL DEFAULT x'';
ALTER TABLE member DROP COLUMN from_seq;

-- revision: the user's own revision at which something last changed for them in this conversation.
ALTER TABLE membership ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS membership_by_revision ON membership (user_name, revision);

-- A user's own revision: the highest of their memberships'.
CREATE TABLE IF NOT EXISTS account (
  user_name BLOB NOT NULL,
  revision INTEGER NOT NULL,
  PRIMARY KEY (user_name)
) STRICT, WITHOUT ROWID;

-- What is still to be done because of a change in a conversation: written in the change's transaction,
-- applied and removed after it, by the sweep if need be. user_name: whose revision has to rise; empty: the
-- deleted group's messages and members have to go.
CREATE TABLE IF NOT EXISTS pending (
  conversation_id BLOB NOT NULL,
  pending_id BLOB NOT NULL,
  user_name BLOB NOT NULL,
  PRIMARY KEY (conversation_id, pending_id)
) STRICT, WITHOUT ROWID;

-- The log of changes: which message changed at which revision of its conversation, its latest change
-- alone. user_name: empty, or the one user who hid it.
CREATE TABLE IF NOT EXISTS change_log (
  conversation_id BLOB NOT NULL,
  revision INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  user_name BLOB NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, revision, seq)
) STRICT, WITHOUT ROWID;

-- Seqs that are unread for nobody: tombstones, and calls that were not missed.
CREATE TABLE IF NOT EXISTS quiet (
  conversation_id BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, seq)
) STRICT, WITHOUT ROWID;

-- Runs of imported messages, disjoint: unread for nobody as well.
CREATE TABLE IF NOT EXISTS imported (
  conversation_id BLOB NOT NULL,
  from_seq INTEGER NOT NULL,
  to_seq INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, from_seq)
) STRICT, WITHOUT ROWID;

-- Messages that a user deleted for themself.
CREATE TABLE IF NOT EXISTS hidden (
  conversation_id BLOB NOT NULL,
  user_name BLOB NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, user_name, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS hidden_by_seq ON hidden (conversation_id, seq);

-- Messages that expire; kept after the sweep removed their content (swept: 1), until the floor passes them.
CREATE TABLE IF NOT EXISTS expiry (
  conversation_id BLOB NOT NULL,
  seq INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL,
  swept INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, seq)
) STRICT, WITHOUT ROWID;

-- Messages in threads, with their kinds.
CREATE TABLE IF NOT EXISTS thread (
  conversation_id BLOB NOT NULL,
  thread BLOB NOT NULL,
  kinds INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, thread, kinds, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS thread_by_seq ON thread (conversation_id, seq);

-- The highest time among the messages of each full block of 256 seqs: block 0 is seqs 1 to 256.
CREATE TABLE IF NOT EXISTS time_block (
  conversation_id BLOB NOT NULL,
  block INTEGER NOT NULL,
  max_sent_at_ms INTEGER NOT NULL,
  PRIMARY KEY (conversation_id, block)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO time_block (conversation_id, block, max_sent_at_ms)
SELECT conversation_id, (seq - 1) / 256, MAX(sent_at_ms) FROM message
GROUP BY conversation_id, (seq - 1) / 256 HAVING COUNT(*) = 256;

-- body: the encoded profile.
CREATE TABLE IF NOT EXISTS profile (
  user_name BLOB NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (user_name)
) STRICT, WITHOUT ROWID;

-- Users whose erasure is under way.
CREATE TABLE IF NOT EXISTS erasure (
  user_name BLOB NOT NULL,
  asked_at_ms INTEGER NOT NULL,
  PRIMARY KEY (user_name)
) STRICT, WITHOUT ROWID;

-- Who does a job that one replica does at a time, and until when.
CREATE TABLE IF NOT EXISTS lease (
  name BLOB NOT NULL,
  holder BLOB NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS change_log_by_time ON change_log (at_ms);

CREATE INDEX IF NOT EXISTS expiry_by_time ON expiry (swept, expires_at_ms);
