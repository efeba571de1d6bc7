-- Rules of routes by host, and the whole rule as JSON where the other columns cannot say it.
ALTER TABLE routes ADD COLUMN hosts TEXT NOT NULL DEFAULT '';
ALTER TABLE routes ADD COLUMN document TEXT;
-- The table has at most 1024 rows.
ALTER TABLE routes DROP CONSTRAINT routes_pkey, ADD PRIMARY KEY (path, methods, hosts);
