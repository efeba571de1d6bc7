-- Rules of routes by host, and the whole rule as JSON where the other columns cannot say it. SQLite cannot change a primary key, so the
-- table, which has at most 1024 rows, is copied.
CREATE TABLE extended_routes (
    path TEXT NOT NULL,
    methods TEXT NOT NULL,
    scope TEXT NOT NULL,
    public INTEGER NOT NULL CHECK (public IN (0, 1)),
    on_stale TEXT NOT NULL,
    on_not_covered TEXT NOT NULL,
    hosts TEXT NOT NULL DEFAULT '',
    document TEXT,
    PRIMARY KEY (path, methods, hosts)
) STRICT;
INSERT INTO extended_routes (path, methods, scope, public, on_stale, on_not_covered)
    SELECT path, methods, scope, public, on_stale, on_not_covered FROM routes;
DROP TABLE routes;
ALTER TABLE extended_routes RENAME TO routes;
