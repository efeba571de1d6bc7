-- What origins remember of their upkeep, in one row.
CREATE TABLE upkeep (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    -- Up to which Unix second expired records have been deleted; 0 before the first time.
    swept_to BIGINT NOT NULL,
    -- Counts writes that only find out whether the database takes any.
    write_probes BIGINT NOT NULL
);
INSERT INTO upkeep (one, swept_to, write_probes) VALUES (1, 0, 0);
