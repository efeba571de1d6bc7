-- Times are Unix seconds unless a name ends in _ms. Scopes, audiences and methods are lists separated by single spaces.

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL CHECK (octet_length(secret_hash) = 32),
    scope TEXT NOT NULL,
    audiences TEXT NOT NULL,
    token_alg TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- Every token that was issued and could still be accepted somewhere.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    subject TEXT NOT NULL,
    scope TEXT NOT NULL,
    audience TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- What is revoked now. A lifted revocation is deleted here; the history of both stands in deltas.
CREATE TABLE revocations (
    id BYTEA PRIMARY KEY CHECK (octet_length(id) = 16),
    token_id TEXT NOT NULL UNIQUE,
    revoked_at BIGINT NOT NULL,
    void_after BIGINT NOT NULL
);
CREATE INDEX revocations_by_end ON revocations (void_after);

-- The head of the history, one row. Whoever writes a delta updates this row first and holds it until the commit: hence
-- sequences have no gaps, and the order of commits is theirs.
CREATE TABLE feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    issuer TEXT NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    chain BYTEA NOT NULL CHECK (octet_length(chain) = 32),
    -- Counts changes of what else edges depend on: routes, keys, the list of edges.
    version BIGINT NOT NULL
);

CREATE TABLE deltas (
    sequence BIGINT PRIMARY KEY,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    change BIGINT NOT NULL CHECK (change IN (1, 2)),
    void_after BIGINT NOT NULL,
    -- The history's fingerprint after this delta.
    chain BYTEA NOT NULL CHECK (octet_length(chain) = 32)
);

CREATE TABLE keys (
    kid TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    alg TEXT NOT NULL,
    -- Encrypted under the master key, which is not in the database.
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE edges (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    acknowledged_at_ms BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE routes (
    path TEXT NOT NULL,
    methods TEXT NOT NULL,
    scope TEXT NOT NULL,
    public BOOLEAN NOT NULL,
    on_stale TEXT NOT NULL,
    PRIMARY KEY (path, methods)
);
