-- Tables and columns get the names of what they hold. All data is kept.

-- Identifiers that may be used once: ids of assertions and DPoP proofs, hashed with their issuer.
ALTER TABLE seen RENAME TO replay_keys;
ALTER INDEX seen_by_end RENAME TO replay_keys_by_expiry;

ALTER TABLE logins RENAME TO browser_sessions;
ALTER INDEX logins_by_end RENAME TO browser_sessions_by_expiry;
ALTER INDEX logins_by_user RENAME TO browser_sessions_by_user;

ALTER TABLE grants RENAME COLUMN login_id TO browser_session_id;
ALTER INDEX grants_by_login RENAME TO grants_by_browser_session;

ALTER TABLE device_codes RENAME COLUMN asked_at TO requested_at;
ALTER TABLE signals RENAME COLUMN lifting TO is_reinstatement;
