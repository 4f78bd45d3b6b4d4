-- revision: the user's own revision at which something last changed for them in this conversation.
ALTER TABLE membership
  ADD COLUMN revision BIGINT NOT NULL DEFAULT 0,
  ADD KEY membership_by_revision (user_name, revision);
