-- Times are Unix seconds unless a name ends in _ms. Scopes, audiences and methods are lists separated by single spaces. What is
-- longer than INTEGER can hold is kept as its largest value: a mark for ever, an end that never comes.

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    -- What was registered, as JSON with the members of RFC 7591.
    metadata TEXT NOT NULL,
    -- The hash of the token that manages the registration (RFC 7592).
    registration BLOB UNIQUE CHECK (length(registration) = 32),
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

-- A client's secrets: two while it changes from one to the next.
CREATE TABLE client_secrets (
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (client_id, hash)
) STRICT;

-- The epoch in which tokens are issued, one row. Issuing reads it under a shared lock and records the token in the same
-- transaction; whoever closes an epoch updates it. So no token of an epoch below this can appear any more.
CREATE TABLE issuing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;
INSERT INTO issuing (one, epoch) VALUES (1, 1);

-- Every token that was issued and could still be accepted somewhere.
CREATE TABLE tokens (
    -- In the order of issuing, with gaps; never used twice.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The bytes of its jti: the issuing epoch, 4 bytes big-endian, then 14 random ones.
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 18),
    client_id TEXT NOT NULL REFERENCES clients (id),
    subject TEXT NOT NULL,
    session TEXT,
    key_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    audience TEXT NOT NULL,
    -- What else it says, as JSON; nothing for most.
    details TEXT,
    -- The hash of its text, if it is one that says nothing by itself.
    opaque BLOB UNIQUE CHECK (length(opaque) = 32),
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- Who revoked what, when and why: records, each lifted at most once. A name may have several; what they amount to stands in marks.
CREATE TABLE revocations (
    number INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 6),
    name TEXT NOT NULL,
    mark INTEGER NOT NULL CHECK (mark > 0),
    reason TEXT,
    revoked_by TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    void_after INTEGER NOT NULL,
    lifted_by TEXT,
    lifted_at INTEGER
) STRICT;
CREATE INDEX revocations_by_name ON revocations (kind, name);
CREATE INDEX revocations_by_end ON revocations (void_after);

-- What is revoked now, as edges know it: the highest mark of a name's revocations that are not lifted.
CREATE TABLE marks (
    kind INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    mark INTEGER NOT NULL,
    void_after INTEGER NOT NULL,
    -- The epoch in which the token was issued, if it is a token with an id of our making.
    epoch INTEGER,
    PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX marks_by_end ON marks (void_after);

-- The head of the history, one row. Whoever writes a delta updates this row first and holds it until the commit: hence
-- sequences have no gaps, and the order of commits is theirs.
CREATE TABLE feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    issuer TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    -- Counts changes of what else edges depend on: routes, keys, the list of edges.
    version INTEGER NOT NULL,
    -- The number of the newest revocation record.
    revocation INTEGER NOT NULL,
    -- Counts the snapshots that were published.
    snapshot INTEGER NOT NULL
) STRICT;

CREATE TABLE deltas (
    sequence INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 16),
    -- The name's mark from here on; 0 when it is lifted.
    mark INTEGER NOT NULL,
    void_after INTEGER NOT NULL,
    -- As in marks.
    epoch INTEGER,
    -- The history's fingerprint after this delta.
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;

-- The newest snapshot that was published, one row: all origins serve these bytes.
CREATE TABLE snapshots (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    as_of_ms INTEGER NOT NULL,
    built_ms INTEGER NOT NULL,
    revoked INTEGER NOT NULL,
    config BLOB NOT NULL CHECK (length(config) = 16),
    message BLOB NOT NULL
) STRICT;

-- Who did what, for ever: rows are added and nothing else.
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    reason TEXT
) STRICT;
CREATE INDEX audit_by_time ON audit (at);
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit BEGIN
    SELECT RAISE(ABORT, 'the audit log is only added to');
END;

CREATE TABLE keys (
    kid TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    alg TEXT NOT NULL,
    -- Encrypted under the master key, which is not in the database.
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE edges (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    acknowledged_at_ms INTEGER,
    contacted_at_ms INTEGER,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE routes (
    path TEXT NOT NULL,
    methods TEXT NOT NULL,
    scope TEXT NOT NULL,
    public INTEGER NOT NULL CHECK (public IN (0, 1)),
    on_stale TEXT NOT NULL,
    on_not_covered TEXT NOT NULL,
    PRIMARY KEY (path, methods)
) STRICT;
