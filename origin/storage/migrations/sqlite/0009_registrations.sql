-- Counts the changes of clients, their secrets and resource servers, whoever makes them: what an origin keeps of them in memory is
-- good as long as this stays the same.
CREATE TABLE registrations (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO registrations (one, version) VALUES (1, 1);

CREATE TRIGGER client_added AFTER INSERT ON clients BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER client_changed AFTER UPDATE ON clients BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER client_removed AFTER DELETE ON clients BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER secret_added AFTER INSERT ON client_secrets BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER secret_changed AFTER UPDATE ON client_secrets BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER secret_removed AFTER DELETE ON client_secrets BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER resource_added AFTER INSERT ON resources BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER resource_changed AFTER UPDATE ON resources BEGIN UPDATE registrations SET version = version + 1; END;
CREATE TRIGGER resource_removed AFTER DELETE ON resources BEGIN UPDATE registrations SET version = version + 1; END;

-- Tokens again, for hardly any is opaque: the index of those that are has no lines for the others. SQLite drops a column's UNIQUE only
-- with its table.
CREATE TABLE new_tokens (
    -- In the order of issuing, with gaps; never used twice.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The bytes of its jti: the issuing epoch, 4 bytes big-endian, then 14 that tell it from others, the time first.
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
    opaque BLOB CHECK (length(opaque) = 32),
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
-- The last number, too: it may be of a token that is forgotten.
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_tokens', seq FROM sqlite_sequence WHERE name = 'tokens';
INSERT INTO new_tokens SELECT number, id, client_id, subject, session, key_id, scope, audience, details, opaque, issued_at, expires_at
    FROM tokens;
DROP TABLE tokens;
ALTER TABLE new_tokens RENAME TO tokens;
CREATE INDEX tokens_by_expiry ON tokens (expires_at);
CREATE UNIQUE INDEX opaque_tokens ON tokens (opaque) WHERE opaque IS NOT NULL;
