-- The other issuers that are served beside the one of this database, each from a database of its own.
CREATE TABLE issuers (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    -- The URL of its database, encrypted under a key that is not in the database; none for the one that follows from the name.
    sealed_database BYTEA,
    created_at BIGINT NOT NULL
);
