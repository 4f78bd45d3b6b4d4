-- role: 0 former member, 1 member, 2 moderator, 3 owner. intervals: seqs that the user may see, as JSON:
-- [[from, to], …, [from]], ascending, disjoint, both ends inclusive; one without an end is open.
-- hidden_up_to_seq: deleted for this user up to there. hides: `hidden` has rows of this user.
-- left_sent_at_ms: time of the last message that a former member may see. left_title: the group's then.
ALTER TABLE member
  ADD COLUMN role TINYINT NOT NULL DEFAULT 1,
  ADD COLUMN intervals VARBINARY(16000) NOT NULL DEFAULT '[[1]]',
  ADD COLUMN epoch BIGINT NOT NULL DEFAULT 1,
  ADD COLUMN hidden_up_to_seq BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN hides TINYINT NOT NULL DEFAULT 0,
  ADD COLUMN read_seq BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN delivered_seq BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN joined_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN left_sent_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN left_title VARBINARY(1024) NOT NULL DEFAULT '',
  DROP COLUMN from_seq;
