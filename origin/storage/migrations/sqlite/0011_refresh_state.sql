-- How far a grant's refresh tokens have come stands in its own row. A refresh token names its grant and proves by a MAC that it was made
-- here, so that no other than the current one and the one before need be known. Those of the table before have neither: they end, and
-- their users sign in again.
DROP TABLE refresh_tokens;
-- The SHA-256 of the current one, and of the one that it followed. Null: there is none.
ALTER TABLE grants ADD COLUMN refresh_hash BLOB CHECK (length(refresh_hash) = 32);
ALTER TABLE grants ADD COLUMN previous_hash BLOB CHECK (length(previous_hash) = 32);
-- The thumbprint of the key that they are bound to.
ALTER TABLE grants ADD COLUMN refresh_jkt TEXT;
ALTER TABLE grants ADD COLUMN refresh_expires_at INTEGER;
-- When the current one took the place of the one before.
ALTER TABLE grants ADD COLUMN refreshed_at INTEGER;
