-- Names of users are prepared as RFC 8265 says. Those of ASCII letters always were; the others are when the database is opened.
ALTER TABLE users ADD COLUMN name_prepared BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE users SET name_prepared = TRUE WHERE char_length(name) = octet_length(name);
CREATE INDEX users_unprepared ON users (id) WHERE NOT name_prepared;

-- A NUL in a text of JSON, which could be stored, made every search fail: it is taken out. Before it stands an even number of
-- backslashes, which are no part of it.
UPDATE clients SET metadata = regexp_replace(metadata, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g') WHERE strpos(metadata, '\u0000') > 0;
UPDATE clients SET operator_metadata = regexp_replace(operator_metadata, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')
    WHERE strpos(operator_metadata, '\u0000') > 0;
UPDATE users SET claims = regexp_replace(claims, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g') WHERE strpos(claims, '\u0000') > 0;
