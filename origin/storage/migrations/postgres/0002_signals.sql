-- Receivers of security events, and what they are told. Times are Unix seconds unless a name ends in _ms.

CREATE TABLE streams (
    -- Never used twice: a stream that is removed and registered again is another.
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    audience TEXT NOT NULL,
    client_id TEXT REFERENCES clients (id),
    -- Where to push; without it the receiver polls.
    url TEXT,
    -- The Authorization header to push with, encrypted under a key that is not in the database.
    sealed_authorization BYTEA,
    -- Event names separated by single spaces.
    events TEXT NOT NULL,
    -- The sequence up to which everything is acknowledged.
    acknowledged BIGINT NOT NULL,
    acknowledged_at_ms BIGINT,
    refused BIGINT NOT NULL DEFAULT 0,
    problem TEXT,
    created_at BIGINT NOT NULL
);

-- The deltas in words, for streams: written in the transaction of the delta, once there is a stream. Kept until all streams
-- have it or nobody needs to know any more.
CREATE TABLE signals (
    sequence BIGINT PRIMARY KEY,
    kind BIGINT NOT NULL,
    name TEXT NOT NULL,
    mark BIGINT NOT NULL,
    lifting BOOLEAN NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    void_after BIGINT NOT NULL
);
CREATE INDEX signals_by_end ON signals (void_after);

-- What polling receivers acknowledged before something older.
CREATE TABLE early_acknowledgements (
    stream BIGINT NOT NULL REFERENCES streams (number) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (stream, sequence)
);
