-- Of a client that registered itself: its metadata as the operator changed it last. The client can then have no more than that by itself.
ALTER TABLE clients ADD COLUMN operator_metadata TEXT;

-- Clients whose metadata somebody else than themselves changed before this was recorded.
UPDATE clients SET operator_metadata = metadata WHERE registration IS NOT NULL AND EXISTS (
    SELECT 1 FROM audit WHERE audit.kind = 4 AND audit.action = 'update' AND audit.name = clients.id
    AND audit.actor <> 'client:' || clients.id
);
