-- kinds: bits that tell what a message holds, as domain/kinds.ts names them; 0 for a tombstone.
ALTER TABLE message
  ADD COLUMN kinds TINYINT NOT NULL DEFAULT 1,
  ADD KEY message_by_kinds (conversation_id, kinds, seq);
