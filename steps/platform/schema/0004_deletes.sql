-- What the deletes and the re-ingestion need.

-- Whether another document still needs a managed file is asked before the file is deleted. An index on an expression is
-- not tracked by Prisma (prisma-engines #3965), so the ORM's migrations leave it alone. On a large table make it
-- beforehand, under this name, with `create index concurrently`.
do $$ begin
    if to_regclass('document') is not null then
        create index if not exists document_managed_key_idx
            on document ((source ->> 'key')) where source ->> 'key' is not null;
    end if;
end $$;

-- What of a document is in the counters, where its row does not tell. A row tells by itself: it counts as a document
-- unless it is over the quota, and with its pages once it is completed. Re-ingestion makes it forget both.
create table wf.counted_document (
    document_id text primary key,
    counted boolean not null,
    pages double precision not null
);
