-- Users, what they gave to clients, and the one-time things by which clients take it. Times are Unix seconds unless a name ends in
-- _ms. Whatever opens something is kept as its SHA-256; user codes, which are short, as one under a key that is not here.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Argon2id, as a PHC string.
    password_hash TEXT,
    -- What clients may be told, as a JSON object.
    claims TEXT NOT NULL,
    external_id TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT;

-- Browsers' sessions.
CREATE TABLE logins (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auth_time INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX logins_by_end ON logins (expires_at);
CREATE INDEX logins_by_user ON logins (user_id);

-- What a user gave a client. Its id is the sid of its tokens.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    login_id TEXT,
    -- What was given and how the user had signed in, as JSON.
    terms TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
CREATE INDEX grants_by_subject ON grants (subject);
CREATE INDEX grants_by_client ON grants (client_id);
CREATE INDEX grants_by_user ON grants (user_id);
CREATE INDEX grants_by_login ON grants (login_id);
CREATE INDEX grants_by_end ON grants (ends_at);

CREATE TABLE codes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT,
    challenge TEXT NOT NULL,
    nonce TEXT,
    jkt TEXT,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER
) STRICT;
CREATE INDEX codes_by_grant ON codes (grant_id);

-- Used ones are kept as long as their grant: their reuse tells that somebody has a copy.
CREATE TABLE refresh_tokens (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    jkt TEXT
) STRICT;
CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);

CREATE TABLE device_codes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    user_code BLOB NOT NULL UNIQUE CHECK (length(user_code) = 32),
    client_id TEXT NOT NULL REFERENCES clients (id),
    -- What is asked for, as JSON.
    access TEXT NOT NULL,
    grant_id TEXT REFERENCES grants (id) ON DELETE CASCADE,
    denied_at INTEGER,
    redeemed_at INTEGER,
    expires_at INTEGER NOT NULL,
    "interval" INTEGER NOT NULL,
    polled_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX device_codes_by_end ON device_codes (expires_at);

-- Requests that were pushed, or whose user is signing in.
CREATE TABLE authorization_requests (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    pushed INTEGER NOT NULL CHECK (pushed IN (0, 1)),
    request TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX authorization_requests_by_end ON authorization_requests (expires_at);

-- What a user agreed that a client may have without asking again, as JSON.
CREATE TABLE consents (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    access TEXT NOT NULL,
    agreed_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id)
) STRICT;

-- Resource servers, as JSON.
CREATE TABLE resources (
    audience TEXT PRIMARY KEY,
    resource TEXT NOT NULL
) STRICT;

-- What may be shown once: the ids of assertions and of DPoP proofs, hashed with who made them, until they expire.
CREATE TABLE seen (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX seen_by_end ON seen (expires_at);

-- How often something was tried in a window of time that began then: guesses of user codes.
CREATE TABLE attempts (
    name TEXT PRIMARY KEY,
    began_at INTEGER NOT NULL,
    count INTEGER NOT NULL
) STRICT;
