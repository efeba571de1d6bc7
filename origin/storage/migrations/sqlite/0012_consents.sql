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
    agreed_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id, audience)
) STRICT;
INSERT INTO consented_access (user_id, client_id, audience, scope, details, agreed_at)
    SELECT user_id, client_id, json_extract(access, '$.audience'), json_extract(access, '$.scope'),
        json_extract(access, '$.details'), agreed_at
    FROM consents WHERE json_type(access, '$.audience') = 'text' AND json_type(access, '$.scope') = 'text';
DROP TABLE consents;
