-- Secrets of clients that people chose, as PHC strings (Argon2id): they can be guessed, and so take a slow hash. Such a row's `hash`
-- is random and only names it.
ALTER TABLE client_secrets ADD COLUMN chosen TEXT;
