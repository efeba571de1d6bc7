-- What a user agreed that a client may have without asking again, for each audience by itself. The table before had a set of scope values
-- beside a set of audiences, and did not say which value was agreed to at which audience. Of what stands there for one audience alone that
-- is certain, and it is kept; for the rest users are asked again.
CREATE TABLE consented_access (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    audience TEXT NOT NULL,
    scope TEXT NOT NULL,
    -- Authorization details (RFC 9396), as JSON; null for none.
    details TEXT,
    agreed_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, audience)
);
INSERT INTO consented_access (user_id, client_id, audience, scope, details, agreed_at)
    SELECT user_id, client_id, access::json ->> 'audience', access::json ->> 'scope', access::json ->> 'details', agreed_at
    FROM (
        -- Details could have a NUL in a text, which makes the whole row unreadable. Without the offset it might be read all the same.
        SELECT * FROM consents WHERE strpos(access, '\u0000') = 0 OFFSET 0
    ) AS readable WHERE json_typeof(access::json -> 'audience') = 'string' AND json_typeof(access::json -> 'scope') = 'string';
DROP TABLE consents;
