-- The vector store for installations without Pinecone or Turbopuffer. Namespaces differ in the length of their vectors,
-- so the column has none, and queries scan their namespace.

create extension if not exists vector;

create table wf.vector (
    namespace text not null,
    id text not null,
    document_id text not null,
    body text not null,
    metadata jsonb not null,
    embedding vector not null,
    primary key (namespace, id)
);
create index vector_document_idx on wf.vector (namespace, document_id);
