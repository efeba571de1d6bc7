-- Subjects under which clients know a user by tokens that no grant stands for (jwt-bearer). What ends with the user is found by them, as
-- by the subjects of grants. A user's own id is not among them.
CREATE TABLE pairwise_subjects (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    PRIMARY KEY (user_id, subject)
) STRICT;
-- How often the current refresh token was given again after the grace to whoever had the one before; -1 where that may not be, for the one
-- before was itself given so.
ALTER TABLE grants ADD COLUMN late_retries INTEGER NOT NULL DEFAULT 0;
