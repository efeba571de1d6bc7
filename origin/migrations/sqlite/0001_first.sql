-- Times are Unix seconds unless a name ends in _ms. Scopes, audiences and methods are lists separated by single spaces.

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    scope TEXT NOT NULL,
    audiences TEXT NOT NULL,
    token_alg TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

-- Every token that was issued and could still be accepted somewhere.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    subject TEXT NOT NULL,
    scope TEXT NOT NULL,
    audience TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- What is revoked now. A lifted revocation is deleted here; the history of both stands in deltas.
CREATE TABLE revocations (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    token_id TEXT NOT NULL UNIQUE,
    revoked_at INTEGER NOT NULL,
    void_after INTEGER NOT NULL
) STRICT;
CREATE INDEX revocations_by_end ON revocations (void_after);

-- The head of the history, one row. Whoever writes a delta updates this row first and holds it until the commit: hence
-- sequences have no gaps, and the order of commits is theirs.
CREATE TABLE feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    issuer TEXT NOT NULL,
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    chain BLOB NOT NULL CHECK (length(chain) = 32),
    -- Counts changes of what else edges depend on: routes, keys, the list of edges.
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE deltas (
    sequence INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 16),
    change INTEGER NOT NULL CHECK (change IN (1, 2)),
    void_after INTEGER NOT NULL,
    -- The history's fingerprint after this delta.
    chain BLOB NOT NULL CHECK (length(chain) = 32)
) STRICT;

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
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE routes (
    path TEXT NOT NULL,
    methods TEXT NOT NULL,
    scope TEXT NOT NULL,
    public INTEGER NOT NULL CHECK (public IN (0, 1)),
    on_stale TEXT NOT NULL,
    PRIMARY KEY (path, methods)
) STRICT;
