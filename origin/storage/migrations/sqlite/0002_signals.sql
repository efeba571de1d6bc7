-- Receivers of security events, and what they are told. Times are Unix seconds unless a name ends in _ms.

CREATE TABLE streams (
    -- Never used twice: a stream that is removed and registered again is another.
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    audience TEXT NOT NULL,
    client_id TEXT REFERENCES clients (id),
    -- Where to push; without it the receiver polls.
    url TEXT,
    -- The Authorization header to push with, encrypted under a key that is not in the database.
    sealed_authorization BLOB,
    -- Event names separated by single spaces.
    events TEXT NOT NULL,
    -- The sequence up to which everything is acknowledged.
    acknowledged INTEGER NOT NULL,
    acknowledged_at_ms INTEGER,
    refused INTEGER NOT NULL DEFAULT 0,
    problem TEXT,
    created_at INTEGER NOT NULL
) STRICT;

-- The deltas in words, for streams: written in the transaction of the delta, once there is a stream. Kept until all streams
-- have it or nobody needs to know any more.
CREATE TABLE signals (
    sequence INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    mark INTEGER NOT NULL,
    lifting INTEGER NOT NULL CHECK (lifting IN (0, 1)),
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    void_after INTEGER NOT NULL
) STRICT;
CREATE INDEX signals_by_end ON signals (void_after);

-- What polling receivers acknowledged before something older.
CREATE TABLE early_acknowledgements (
    stream INTEGER NOT NULL REFERENCES streams (number) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (stream, sequence)
) STRICT, WITHOUT ROWID;
