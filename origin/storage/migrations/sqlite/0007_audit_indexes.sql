-- The audit log is read by who did something, and by what it was done to.
CREATE INDEX audit_by_actor ON audit (actor, number);
CREATE INDEX audit_by_name ON audit (name, number);
