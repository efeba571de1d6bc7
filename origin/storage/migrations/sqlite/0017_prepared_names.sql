-- Names of users are prepared as RFC 8265 says. Those of ASCII letters always were; the others are when the database is opened.
ALTER TABLE users ADD COLUMN name_prepared INTEGER NOT NULL DEFAULT 0;
UPDATE users SET name_prepared = 1 WHERE length(name) = length(CAST(name AS BLOB));
CREATE INDEX users_unprepared ON users (id) WHERE NOT name_prepared;
