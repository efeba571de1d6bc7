-- Counts the changes of clients, their secrets and resource servers, whoever makes them: what an origin keeps of them in memory is
-- good as long as this stays the same.
CREATE TABLE registrations (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    version BIGINT NOT NULL
);
INSERT INTO registrations (one, version) VALUES (1, 1);

CREATE FUNCTION registrations_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE registrations SET version = version + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON clients EXECUTE FUNCTION registrations_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON client_secrets EXECUTE FUNCTION registrations_changed();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON resources EXECUTE FUNCTION registrations_changed();

-- Hardly any token is opaque: the index of those that are has no lines for the others.
ALTER TABLE tokens DROP CONSTRAINT tokens_opaque_key;
CREATE UNIQUE INDEX opaque_tokens ON tokens (opaque) WHERE opaque IS NOT NULL;
