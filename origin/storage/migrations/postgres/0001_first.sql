-- Times are Unix seconds unless a name ends in _ms. Scopes, audiences and methods are lists separated by single spaces. What is
-- longer than BIGINT can hold is kept as its largest value: a mark for ever, an end that never comes.

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    -- What was registered, as JSON with the members of RFC 7591.
    metadata TEXT NOT NULL,
    -- The hash of the token that manages the registration (RFC 7592).
    registration BYTEA UNIQUE CHECK (octet_length(registration) = 32),
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- A client's secrets: two while it changes from one to the next.
CREATE TABLE client_secrets (
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (client_id, hash)
);

-- The epoch in which tokens are issued, one row. Issuing reads it under a shared lock and records the token in the same
-- transaction; whoever closes an epoch updates it. So no token of an epoch below this can appear any more.
CREATE TABLE issuing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL CHECK (epoch >= 1)
);
INSERT INTO issuing (one, epoch) VALUES (1, 1);

-- Every token that was issued and could still be accepted somewhere.
CREATE TABLE tokens (
    -- In the order of issuing, with gaps; never used twice.
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The bytes of its jti: the issuing epoch, 4 bytes big-endian, then 14 random ones.
    id BYTEA NOT NULL UNIQUE CHECK (octet_length(id) = 18),
    client_id TEXT NOT NULL REFERENCES clients (id),
    subject TEXT NOT NULL,
    session TEXT,
    key_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    audience TEXT NOT NULL,
    -- What else it says, as JSON; nothing for most.
    details TEXT,
    -- The hash of its text, if it is one that says nothing by itself.
    opaque BYTEA UNIQUE CHECK (octet_length(opaque) = 32),
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_expiry ON tokens (expires_at);

-- Who revoked what, when and why: records, each lifted at most once. A name may have several; what they amount to stands in marks.
CREATE TABLE revocations (
    number BIGINT PRIMARY KEY,
    kind BIGINT NOT NULL CHECK (kind BETWEEN 1 AND 6),
    name TEXT NOT NULL,
    mark BIGINT NOT NULL CHECK (mark > 0),
    reason TEXT,
    revoked_by TEXT NOT NULL,
    revoked_at BIGINT NOT NULL,
    void_after BIGINT NOT NULL,
    lifted_by TEXT,
    lifted_at BIGINT
);
CREATE INDEX revocations_by_name ON revocations (kind, name);
CREATE INDEX revocations_by_end ON revocations (void_after);

-- What is revoked now, as edges know it: the highest mark of a name's revocations that are not lifted.
CREATE TABLE marks (
    kind BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    mark BIGINT NOT NULL,
    void_after BIGINT NOT NULL,
    -- The epoch in which the token was issued, if it is a token with an id of our making.
    epoch BIGINT,
    PRIMARY KEY (kind, id)
);
CREATE INDEX marks_by_end ON marks (void_after);

-- The head of the history, one row. Whoever writes a delta updates this row first and holds it until the commit: hence
-- sequences have no gaps, and the order of commits is theirs.
CREATE TABLE feed (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    issuer TEXT NOT NULL,
    sequence BIGINT NOT NULL CHECK (sequence >= 0),
    chain BYTEA NOT NULL CHECK (octet_length(chain) = 32),
    -- Counts changes of what else edges depend on: routes, keys, the list of edges.
    version BIGINT NOT NULL,
    -- The number of the newest revocation record.
    revocation BIGINT NOT NULL,
    -- Counts the snapshots that were published.
    snapshot BIGINT NOT NULL
);

CREATE TABLE deltas (
    sequence BIGINT PRIMARY KEY,
    kind BIGINT NOT NULL,
    id BYTEA NOT NULL CHECK (octet_length(id) = 16),
    -- The name's mark from here on; 0 when it is lifted.
    mark BIGINT NOT NULL,
    void_after BIGINT NOT NULL,
    -- As in marks.
    epoch BIGINT,
    -- The history's fingerprint after this delta.
    chain BYTEA NOT NULL CHECK (octet_length(chain) = 32)
);

-- The newest snapshot that was published, one row: all origins serve these bytes.
CREATE TABLE snapshots (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    as_of_ms BIGINT NOT NULL,
    built_ms BIGINT NOT NULL,
    revoked BIGINT NOT NULL,
    config BYTEA NOT NULL CHECK (octet_length(config) = 16),
    message BYTEA NOT NULL
);

-- Who did what, for ever: rows are added and nothing else.
CREATE TABLE audit (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    kind BIGINT NOT NULL,
    name TEXT NOT NULL,
    reason TEXT
);
CREATE INDEX audit_by_time ON audit (at);
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only added to';
END
$$;
CREATE TRIGGER audit_is_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    EXECUTE FUNCTION audit_is_only_added_to();

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
    contacted_at_ms BIGINT,
    created_at BIGINT NOT NULL
);

CREATE TABLE routes (
    path TEXT NOT NULL,
    methods TEXT NOT NULL,
    scope TEXT NOT NULL,
    public BOOLEAN NOT NULL,
    on_stale TEXT NOT NULL,
    on_not_covered TEXT NOT NULL,
    PRIMARY KEY (path, methods)
);
