-- An authorization request of a client that authenticates may have no code challenge. SQLite cannot drop the constraint of a column, so
-- the table is written again; it has few rows.
CREATE TABLE codes_with_optional_challenge (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT,
    challenge TEXT,
    nonce TEXT,
    jkt TEXT,
    expires_at INTEGER NOT NULL,
    redeemed_at INTEGER
) STRICT;
INSERT INTO codes_with_optional_challenge (hash, grant_id, redirect_uri, challenge, nonce, jkt, expires_at, redeemed_at)
    SELECT hash, grant_id, redirect_uri, challenge, nonce, jkt, expires_at, redeemed_at FROM codes;
DROP TABLE codes;
ALTER TABLE codes_with_optional_challenge RENAME TO codes;
CREATE INDEX codes_by_grant ON codes (grant_id);
