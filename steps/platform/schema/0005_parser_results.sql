-- The result of the parser service that a document is made of, until its batches in Redis are removed: they have no
-- time to live, and whoever fails or stops the document has to find them.
create table wf.parser_result (
    document_id text primary key,
    batch_template text not null,
    total_batches integer not null,
    noted_at timestamptz not null default now()
);
