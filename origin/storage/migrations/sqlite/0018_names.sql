-- Tables and columns get the names of what they hold. All data is kept.

-- Identifiers that may be used once: ids of assertions and DPoP proofs, hashed with their issuer.
ALTER TABLE seen RENAME TO replay_keys;
DROP INDEX seen_by_end;
CREATE INDEX replay_keys_by_expiry ON replay_keys (expires_at);

ALTER TABLE logins RENAME TO browser_sessions;
DROP INDEX logins_by_end;
DROP INDEX logins_by_user;
CREATE INDEX browser_sessions_by_expiry ON browser_sessions (expires_at);
CREATE INDEX browser_sessions_by_user ON browser_sessions (user_id);

ALTER TABLE grants RENAME COLUMN login_id TO browser_session_id;
DROP INDEX grants_by_login;
CREATE INDEX grants_by_browser_session ON grants (browser_session_id);

ALTER TABLE device_codes RENAME COLUMN asked_at TO requested_at;
ALTER TABLE signals RENAME COLUMN lifting TO is_reinstatement;
