-- Delivery takes an organization's oldest events, and the platform's tick walks from organization to organization: both
-- whatever the number of events that others have.
create index event_outbox_organization_id_idx on wf.event_outbox (organization_id, created_at, id);
