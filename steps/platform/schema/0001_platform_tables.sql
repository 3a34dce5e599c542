-- The platform's own tables, as its application creates them. Where that application owns the database, this
-- migration is recorded without being run.

create type "OrganizationStatus" as enum ('ACTIVE', 'DELETING');
create type "NamespaceStatus" as enum ('ACTIVE', 'DELETING');
create type "IngestJobStatus" as enum (
    'BACKLOG', 'QUEUED', 'QUEUED_FOR_RESYNC', 'QUEUED_FOR_DELETE', 'PRE_PROCESSING', 'PROCESSING', 'DELETING',
    'CANCELLING', 'COMPLETED', 'FAILED', 'CANCELLED'
);
create type "DocumentStatus" as enum (
    'BACKLOG', 'QUEUED', 'QUEUED_FOR_RESYNC', 'QUEUED_FOR_DELETE', 'PRE_PROCESSING', 'PROCESSING', 'DELETING',
    'CANCELLING', 'COMPLETED', 'FAILED', 'CANCELLED'
);

create table organization (
    id text not null,
    name text not null,
    slug text not null,
    logo text,
    metadata text,
    "totalNamespaces" integer not null default 0,
    "totalDocuments" integer not null default 0,
    "totalIngestJobs" integer not null default 0,
    "totalPages" double precision not null default 0.0,
    "deletedPages" double precision not null default 0.0,
    "pagesLimit" integer not null default 1000,
    "searchUsage" integer not null default 0,
    "searchLimit" integer not null default 10000,
    "apiRatelimit" integer not null default 60,
    plan text not null default 'free',
    "stripeId" text,
    "billingCycleStart" integer,
    "paymentFailedAt" timestamp(3),
    "webhookEnabled" boolean not null default false,
    status "OrganizationStatus" not null default 'ACTIVE',
    "createdAt" timestamp(3) not null default current_timestamp,
    "usageLastChecked" timestamp(3) not null default current_timestamp,
    constraint organization_pkey primary key (id)
);
create unique index organization_slug_key on organization (slug);
create unique index "organization_stripeId_key" on organization ("stripeId");
create index "organization_usageLastChecked_idx" on organization ("usageLastChecked" asc);
create index organization_status_idx on organization (status);

create table "user" (
    id text not null,
    name text not null,
    email text not null,
    "emailVerified" boolean not null default false,
    image text,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint user_pkey primary key (id)
);
create unique index user_email_key on "user" (email);

-- "activeOrganizationId" is plain text: it dangles once its organization is gone.
create table session (
    id text not null,
    token text not null,
    "userId" text not null,
    "activeOrganizationId" text,
    "expiresAt" timestamp(3) not null,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint session_pkey primary key (id),
    constraint "session_userId_fkey" foreign key ("userId") references "user" (id) on delete cascade on update cascade
);
create unique index session_token_key on session (token);

create table member (
    id text not null,
    "organizationId" text not null,
    "userId" text not null,
    role text not null default 'member',
    "createdAt" timestamp(3) not null default current_timestamp,
    constraint member_pkey primary key (id),
    constraint "member_organizationId_fkey" foreign key ("organizationId") references organization (id)
        on delete cascade on update cascade,
    constraint "member_userId_fkey" foreign key ("userId") references "user" (id) on delete cascade on update cascade
);
create unique index "member_organizationId_userId_key" on member ("organizationId", "userId");

create table invitation (
    id text not null,
    "organizationId" text not null,
    email text not null,
    role text,
    status text not null default 'pending',
    "expiresAt" timestamp(3) not null,
    "inviterId" text not null,
    constraint invitation_pkey primary key (id),
    constraint "invitation_organizationId_fkey" foreign key ("organizationId") references organization (id)
        on delete cascade on update cascade,
    constraint "invitation_inviterId_fkey" foreign key ("inviterId") references "user" (id)
        on delete cascade on update cascade
);

create table "OrganizationApiKey" (
    id text not null,
    label text not null,
    key text not null,
    scope text not null default 'all',
    "organizationId" text not null,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint "OrganizationApiKey_pkey" primary key (id),
    constraint "OrganizationApiKey_organizationId_fkey" foreign key ("organizationId") references organization (id)
        on delete cascade on update cascade
);
create unique index "OrganizationApiKey_key_key" on "OrganizationApiKey" (key);
create index "OrganizationApiKey_organizationId_idx" on "OrganizationApiKey" ("organizationId");

create table namespace (
    id text not null,
    name text not null,
    slug text not null,
    "organizationId" text not null,
    "embeddingConfig" jsonb,
    "vectorStoreConfig" jsonb,
    "fileStoreConfig" jsonb,
    "demoId" text,
    "totalIngestJobs" integer not null default 0,
    "totalDocuments" integer not null default 0,
    "totalPlaygroundUsage" integer not null default 0,
    "totalPages" double precision not null default 0.0,
    "keywordEnabled" boolean not null default false,
    status "NamespaceStatus" not null default 'ACTIVE',
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint namespace_pkey primary key (id),
    constraint "namespace_organizationId_fkey" foreign key ("organizationId") references organization (id)
        on delete cascade on update cascade
);
create unique index "namespace_organizationId_slug_key" on namespace ("organizationId", slug);
create index namespace_status_idx on namespace (status);
create index "namespace_organizationId_status_idx" on namespace ("organizationId", status);

create table connection (
    id text not null,
    "namespaceId" text not null,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint connection_pkey primary key (id),
    constraint "connection_namespaceId_fkey" foreign key ("namespaceId") references namespace (id)
        on delete cascade on update cascade
);

create table ingest_job (
    id text not null,
    "namespaceId" text not null,
    status "IngestJobStatus" not null default 'BACKLOG',
    error text,
    name text,
    "tenantId" text,
    "externalId" text,
    payload jsonb not null,
    config jsonb,
    "queuedAt" timestamp(3) default current_timestamp,
    "preProcessingAt" timestamp(3),
    "processingAt" timestamp(3),
    "completedAt" timestamp(3),
    "failedAt" timestamp(3),
    "workflowRunsIds" text[] default array[]::text[],
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint ingest_job_pkey primary key (id),
    constraint "ingest_job_namespaceId_fkey" foreign key ("namespaceId") references namespace (id)
        on delete cascade on update cascade
);
create unique index "ingest_job_namespaceId_externalId_key" on ingest_job ("namespaceId", "externalId");
create index "ingest_job_namespaceId_createdAt_id_idx" on ingest_job ("namespaceId", "createdAt" desc, id desc);
create index "ingest_job_namespaceId_status_createdAt_id_idx"
    on ingest_job ("namespaceId", status, "createdAt" desc, id desc);
create index "ingest_job_namespaceId_tenantId_createdAt_id_idx"
    on ingest_job ("namespaceId", "tenantId", "createdAt" desc, id desc);

create table document (
    id text not null,
    "namespaceId" text not null,
    "ingestJobId" text not null,
    name text,
    "externalId" text,
    "tenantId" text,
    error text,
    status "DocumentStatus" not null default 'BACKLOG',
    source jsonb not null,
    config jsonb,
    "documentProperties" jsonb,
    "queuedAt" timestamp(3) default current_timestamp,
    "preProcessingAt" timestamp(3),
    "processingAt" timestamp(3),
    "completedAt" timestamp(3),
    "failedAt" timestamp(3),
    "workflowRunsIds" text[] default array[]::text[],
    "totalChunks" integer not null default 0,
    "totalTokens" integer not null default 0,
    "totalCharacters" integer not null default 0,
    "totalPages" double precision not null default 0.0,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint document_pkey primary key (id),
    constraint "document_namespaceId_fkey" foreign key ("namespaceId") references namespace (id)
        on delete cascade on update cascade,
    constraint "document_ingestJobId_fkey" foreign key ("ingestJobId") references ingest_job (id)
        on delete cascade on update cascade
);
create unique index "document_namespaceId_externalId_key" on document ("namespaceId", "externalId");
create index "document_namespaceId_createdAt_id_idx" on document ("namespaceId", "createdAt" desc, id desc);
create index "document_namespaceId_status_createdAt_id_idx"
    on document ("namespaceId", status, "createdAt" desc, id desc);
create index "document_namespaceId_tenantId_createdAt_id_idx"
    on document ("namespaceId", "tenantId", "createdAt" desc, id desc);
create index "document_ingestJobId_createdAt_id_idx" on document ("ingestJobId", "createdAt" desc, id desc);
create index "document_ingestJobId_status_createdAt_id_idx"
    on document ("ingestJobId", status, "createdAt" desc, id desc);
create index "document_ingestJobId_tenantId_createdAt_id_idx"
    on document ("ingestJobId", "tenantId", "createdAt" desc, id desc);

create table "Webhook" (
    id text not null,
    name text not null,
    url text not null,
    secret text not null,
    triggers jsonb not null,
    "consecutiveFailures" integer not null default 0,
    "lastFailedAt" timestamp(3),
    "disabledAt" timestamp(3),
    "organizationId" text not null,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint "Webhook_pkey" primary key (id),
    constraint "Webhook_organizationId_fkey" foreign key ("organizationId") references organization (id)
        on delete cascade on update cascade
);
create index "Webhook_organizationId_idx" on "Webhook" ("organizationId");

create table "NamespaceWebhook" (
    id text not null,
    "namespaceId" text not null,
    "webhookId" text not null,
    constraint "NamespaceWebhook_pkey" primary key (id),
    constraint "NamespaceWebhook_namespaceId_fkey" foreign key ("namespaceId") references namespace (id)
        on delete cascade on update cascade,
    constraint "NamespaceWebhook_webhookId_fkey" foreign key ("webhookId") references "Webhook" (id)
        on delete cascade on update cascade
);
create unique index "NamespaceWebhook_namespaceId_webhookId_key" on "NamespaceWebhook" ("namespaceId", "webhookId");
create index "NamespaceWebhook_webhookId_idx" on "NamespaceWebhook" ("webhookId");

create table "Hosting" (
    id text not null,
    "namespaceId" text not null,
    logo text,
    "ogImage" text,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint "Hosting_pkey" primary key (id),
    constraint "Hosting_namespaceId_fkey" foreign key ("namespaceId") references namespace (id)
        on delete cascade on update cascade
);
create unique index "Hosting_namespaceId_key" on "Hosting" ("namespaceId");

create table "Domain" (
    id text not null,
    slug text not null,
    "hostingId" text not null,
    "createdAt" timestamp(3) not null default current_timestamp,
    "updatedAt" timestamp(3) not null,
    constraint "Domain_pkey" primary key (id),
    constraint "Domain_hostingId_fkey" foreign key ("hostingId") references "Hosting" (id)
        on delete cascade on update cascade
);
create unique index "Domain_slug_key" on "Domain" (slug);
create unique index "Domain_hostingId_key" on "Domain" ("hostingId");
