-- What people are told of their own sessions and devices, who runs the place, and who vouches for a user. Times are Unix seconds.

-- Whether they may use the console.
ALTER TABLE users ADD COLUMN is_admin BOOLEAN NOT NULL DEFAULT FALSE;
-- Who checks their password: local, or http_api for users of somebody else.
ALTER TABLE users ADD COLUMN auth_source TEXT NOT NULL DEFAULT 'local';

-- When the browser was last heard of, within minutes; 0 for sessions that are older than this column.
ALTER TABLE logins ADD COLUMN seen_at BIGINT NOT NULL DEFAULT 0;
-- Where it was signed in, as JSON: its address, and what it says it is.
ALTER TABLE logins ADD COLUMN sender TEXT NOT NULL DEFAULT '{}';

-- When the device asked, and from where, as JSON.
ALTER TABLE device_codes ADD COLUMN asked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE device_codes ADD COLUMN sender TEXT NOT NULL DEFAULT '{}';
