-- A grant whose code is not redeemed is deleted with the code. If the authorization response also had an access token, the grant is kept
-- until this Unix second, in which the token has expired.
ALTER TABLE codes ADD COLUMN tokens_expire_at BIGINT;
