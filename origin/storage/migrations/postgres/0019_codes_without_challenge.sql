-- An authorization request of a client that authenticates may have no code challenge.
ALTER TABLE codes ALTER COLUMN challenge DROP NOT NULL;
