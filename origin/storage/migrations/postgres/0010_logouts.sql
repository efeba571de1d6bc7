-- Who is yet to be told that a user signed out (OpenID Connect Back-Channel Logout): a client and the grant that it had of the session,
-- written in the transaction that ends the session, gone when the client was told or is given up. Times are Unix seconds.
CREATE TABLE logouts (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id),
    -- The user as the client knows them, and the grant's id: sub and sid of the logout token.
    subject TEXT NOT NULL,
    session TEXT NOT NULL,
    ended_at BIGINT NOT NULL,
    -- The traceparent of the request that ended the session.
    trace TEXT NOT NULL,
    -- How often it was taken up, and when it may be taken up again: whoever takes it up moves this on.
    tries BIGINT NOT NULL DEFAULT 0,
    due_at BIGINT NOT NULL
);
CREATE INDEX logouts_by_due ON logouts (due_at, number);
