/**
 * The local database. Its application id is `APPLICATION_ID`, its `user_version` the number of steps
 * of `SCHEMA` that it has come to. Seqs, revisions and epochs are the service's; times are milliseconds
 * since 1970-01-01 UTC. Tables that grow with what is said are ordered by conversation and seq, and
 * nothing is indexed by ids: new messages then stand side by side, in few pages of the file, and a
 * backup of what a day brought weighs little more than the day's messages.
 */

/** `BkSc` in ASCII: tells the local database of a device from any other. */
export const APPLICATION_ID = 0x426b5363;

/** What makes a database of each version from one of the version before. Steps are never changed. */
export const SCHEMA: readonly string[] = [
  `
  -- Facts of the database itself, by name:
  --   owner          whose device it is
  --   lineage        a UUID made with the database, and anew when a backup of it is restored
  --   created_at_ms  when it was first made
  --   user_revision  up to which what changed for the user alone is known
  --   inbox          how far the service's inbox is known (JSON of \`InboxState\`)
  --   writes         counts the transactions that changed anything
  CREATE TABLE device (
    name TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Settings of the app's own.
  CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- Conversations as the service told of them last.
  CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,                           -- 1 pair, 2 group
    name TEXT NOT NULL,                              -- the peer, or the group
    title TEXT NOT NULL DEFAULT '',
    state INTEGER NOT NULL DEFAULT 0,                -- the proto's MemberState,
    user_revision INTEGER NOT NULL DEFAULT 0,        -- as of this user revision: what is older came late
    listed INTEGER NOT NULL DEFAULT 0,               -- 1: stands in the inbox; 2: did, and is to be told again
    last_seq INTEGER NOT NULL DEFAULT 0,             -- highest seq that is known of
    told_seq INTEGER NOT NULL DEFAULT 0,             -- highest that the service told of: what is above came later
    floor_seq INTEGER NOT NULL DEFAULT 1,            -- nothing is seen below it
    revision INTEGER NOT NULL DEFAULT 0,             -- what is held is right as of it
    told_revision INTEGER NOT NULL DEFAULT 0,        -- highest that is known of: above it, ask for changes
    epoch INTEGER NOT NULL DEFAULT -1,               -- of what is held; -1: not known yet
    landings INTEGER NOT NULL DEFAULT 0,             -- counts what was put in or forgotten: tells if another did
    forgets INTEGER NOT NULL DEFAULT 0,              -- counts how often all was: what was asked for before is late
    read_seq INTEGER NOT NULL DEFAULT 0,             -- the user's own marks
    delivered_seq INTEGER NOT NULL DEFAULT 0,
    told_read_seq INTEGER NOT NULL DEFAULT 0,        -- as far as the service has them: the rest is to be sent
    told_delivered_seq INTEGER NOT NULL DEFAULT 0,
    peer_read_seq INTEGER NOT NULL DEFAULT 0,
    peer_delivered_seq INTEGER NOT NULL DEFAULT 0,
    unread_count INTEGER NOT NULL DEFAULT 0,         -- as the service counted them last,
    unread_from_seq INTEGER NOT NULL DEFAULT 0,      -- when these were the read mark
    unread_to_seq INTEGER NOT NULL DEFAULT 0,        -- and the highest seq
    last_at_ms INTEGER NOT NULL DEFAULT 0,           -- time of the newest message: the inbox's order
    round INTEGER NOT NULL DEFAULT 0,                -- of those through the inbox, the one that brought this
    round_seq INTEGER NOT NULL DEFAULT -1,           -- and the highest seq that it told of
    UNIQUE (kind, name)
  ) STRICT;

  CREATE INDEX conversation_newest ON conversation (last_at_ms) WHERE listed > 0;

  -- Intervals of seqs that are completely known: what the user may see of them, and the filter lets
  -- through, stands in \`message\`. Those of a conversation and filter touch neither each other nor overlap.
  CREATE TABLE known (
    conversation_id INTEGER NOT NULL,
    filter TEXT NOT NULL,                            -- '' for all messages
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, filter, from_seq)
  ) STRICT, WITHOUT ROWID;

  -- Messages as of their conversation's revision; those deleted for everyone without content.
  CREATE TABLE message (
    conversation_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    sender TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    kinds INTEGER NOT NULL,                          -- what it holds: the bits of \`KIND\`
    text TEXT NOT NULL,
    more BLOB,                                       -- the rest of the proto's Content; NULL: nothing
    thread TEXT NOT NULL,
    edited_at_ms INTEGER NOT NULL,
    deleted_at_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,                  -- 0: never
    PRIMARY KEY (conversation_id, seq)
  ) STRICT, WITHOUT ROWID;

  -- What is rare is found without reading what is not.
  CREATE INDEX message_file ON message (conversation_id, seq) WHERE kinds & 2;
  CREATE INDEX message_call ON message (conversation_id, seq) WHERE kinds & 4;
  CREATE INDEX message_thread ON message (conversation_id, seq, thread) WHERE thread <> '';
  CREATE INDEX message_expiry ON message (expires_at_ms) WHERE expires_at_ms > 0;

  -- Messages that the service does not have yet, in the order in which they are sent.
  CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,            -- never used again: another process may be sending it
    conversation_id INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,                  -- 0: never
    body BLOB NOT NULL,                              -- the proto's Message
    failure TEXT                                     -- why the service refused it; NULL: it waits
  ) STRICT;

  CREATE INDEX outbox_conversation ON outbox (conversation_id);
  CREATE INDEX outbox_expiry ON outbox (expires_at_ms) WHERE expires_at_ms > 0;

  -- People, as the service told of them last.
  CREATE TABLE profile (
    user TEXT NOT NULL PRIMARY KEY,
    updated_at_ms INTEGER NOT NULL,                  -- the service's time; 0: they have none
    asked_at_ms INTEGER NOT NULL,                    -- what was stored after this time of the service's is not known
    body BLOB NOT NULL                               -- the proto's Profile
  ) STRICT, WITHOUT ROWID;

  -- What became of files that were fetched, as far as their messages do not tell; the bytes stand in
  -- a folder. A row is of the file that its message had then: an edited one may have another, a removed one has
  -- left it.
  CREATE TABLE file (
    conversation_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,                       -- in the message, from 0
    expected TEXT NOT NULL,                          -- the message's SHA-256, or one of url and size
    sha256 TEXT,                                     -- of what came; NULL: it was refused
    failure TEXT,                                    -- why it was refused; NULL: it came
    PRIMARY KEY (conversation_id, seq, position)
  ) STRICT, WITHOUT ROWID;
  `,
];
