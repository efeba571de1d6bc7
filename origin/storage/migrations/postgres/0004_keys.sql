-- The life of keys. Times are Unix seconds; a state is what they say at a moment, so that all origins on the database agree.

-- Seconds between the moment when edges and caches are told of the key and its first signature.
ALTER TABLE keys ADD COLUMN ahead BIGINT NOT NULL DEFAULT 0;
-- When the first snapshot with it was published.
ALTER TABLE keys ADD COLUMN published_at BIGINT;
-- Of the keys of one purpose and algorithm, the one that most recently reached this moment signs.
ALTER TABLE keys ADD COLUMN signs_from BIGINT;
-- The end of the last token that it signed, once another signs.
ALTER TABLE keys ADD COLUMN retires_at BIGINT;
-- When its private part was destroyed.
ALTER TABLE keys ADD COLUMN gone_at BIGINT;
