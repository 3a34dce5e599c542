-- Ours. The schema wf is apart from public, so that the platform's ORM never sees it.

-- The ledger: one row per effect, written in the effect's own transaction. Who finds the key there returns the stored
-- result instead of doing it again.
create table wf.effect (
    key text primary key,
    result bytea,
    applied_at timestamptz not null default now()
);
create index effect_applied_at_idx on wf.effect (applied_at);

-- Events for customers' webhooks, written in the transaction of the state change they announce, and deleted once they
-- have been handed to delivery. No foreign keys: an event outlives the rows it tells about.
create table wf.event_outbox (
    id text primary key,
    event text not null,
    subject text not null,
    organization_id text not null,
    namespace_id text,
    payload jsonb not null,
    created_at timestamptz not null default now()
);
create index event_outbox_created_at_idx on wf.event_outbox (created_at, id);
create index event_outbox_subject_idx on wf.event_outbox (subject, created_at, id);
