-- Totals that registered edges reported of their work, by run of the edge: an edge that starts again counts from 0. The run '' has the
-- sum of runs that ended long ago.
CREATE TABLE edge_reports (
    edge TEXT NOT NULL,
    -- The registration of that name: edges.created_at.
    number BIGINT NOT NULL,
    run TEXT NOT NULL,
    totals TEXT NOT NULL,
    reported_at_ms BIGINT NOT NULL,
    PRIMARY KEY (edge, number, run)
);
