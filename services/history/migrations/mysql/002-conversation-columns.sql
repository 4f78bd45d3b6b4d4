-- title to retention_s: a group's settings (visibility: 1 all, 2 last visible_messages, 3 from joining).
-- created_at_ms: 0 for pairs, and for groups that nobody created. deleted_at_ms: of a group; its name stays.
-- appended_at_ms: the service's time of the last append. log_revision: every change after it is in change_log.
-- imported_from_seq: where the run of imported messages began that last_seq ends; 0 where it ends none.
-- expiring: some message has an expiry. incomplete: a pair whose member rows have to be made again.
ALTER TABLE conversation
  ADD COLUMN title VARBINARY(1024) NOT NULL DEFAULT '',
  ADD COLUMN visibility TINYINT NOT NULL DEFAULT 1,
  ADD COLUMN visible_messages BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN retention_s BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN created_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN deleted_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN member_count INT NOT NULL DEFAULT 0,
  ADD COLUMN appended_at_ms BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN log_revision BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN imported_from_seq BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN expiring TINYINT NOT NULL DEFAULT 0,
  ADD COLUMN incomplete TINYINT NOT NULL DEFAULT 0;
