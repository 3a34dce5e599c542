"""The tables are those of the platform: columns, types, nullability, defaults, keys, indexes, cascades."""

from __future__ import annotations

import pytest

from durable.postgres import AsyncpgDatabase
from local.migrate import migrate
from orchestrator.ports import Database, Record
from tests.database.support import Adapter

#: Shorthand of the tables below: type, nullable, default.
TYPES = {
    "text": "text",
    "int": "integer",
    "float": "double precision",
    "bool": "boolean",
    "jsonb": "jsonb",
    "time": "timestamp(3) without time zone",
    "text[]": "text[]",
    "org_status": '"OrganizationStatus"',
    "ns_status": '"NamespaceStatus"',
    "job_status": '"IngestJobStatus"',
    "doc_status": '"DocumentStatus"',
}
NOW = "CURRENT_TIMESTAMP"

#: Table: "column type[?] [= default]"; a question mark means nullable.
COLUMNS: dict[str, list[str]] = {
    "organization": [
        "id text", "name text", "slug text", "logo text?", "metadata text?",
        "totalNamespaces int = 0", "totalDocuments int = 0", "totalIngestJobs int = 0",
        "totalPages float = 0.0", "deletedPages float = 0.0", "pagesLimit int = 1000",
        "searchUsage int = 0", "searchLimit int = 10000", "apiRatelimit int = 60",
        "plan text = 'free'::text", "stripeId text?", "billingCycleStart int?", "paymentFailedAt time?",
        "webhookEnabled bool = false", "status org_status = 'ACTIVE'::\"OrganizationStatus\"",
        f"createdAt time = {NOW}", f"usageLastChecked time = {NOW}",
    ],
    "namespace": [
        "id text", "name text", "slug text", "organizationId text",
        "embeddingConfig jsonb?", "vectorStoreConfig jsonb?", "fileStoreConfig jsonb?", "demoId text?",
        "totalIngestJobs int = 0", "totalDocuments int = 0", "totalPlaygroundUsage int = 0", "totalPages float = 0.0",
        "keywordEnabled bool = false", "status ns_status = 'ACTIVE'::\"NamespaceStatus\"",
        f"createdAt time = {NOW}", "updatedAt time",
    ],
    "ingest_job": [
        "id text", "namespaceId text", "status job_status = 'BACKLOG'::\"IngestJobStatus\"",
        "error text?", "name text?", "tenantId text?", "externalId text?", "payload jsonb", "config jsonb?",
        f"queuedAt time? = {NOW}", "preProcessingAt time?", "processingAt time?", "completedAt time?", "failedAt time?",
        "workflowRunsIds text[]? = ARRAY[]::text[]", f"createdAt time = {NOW}", "updatedAt time",
    ],
    "document": [
        "id text", "namespaceId text", "ingestJobId text", "name text?", "externalId text?", "tenantId text?",
        "error text?", "status doc_status = 'BACKLOG'::\"DocumentStatus\"",
        "source jsonb", "config jsonb?", "documentProperties jsonb?",
        f"queuedAt time? = {NOW}", "preProcessingAt time?", "processingAt time?", "completedAt time?", "failedAt time?",
        "workflowRunsIds text[]? = ARRAY[]::text[]",
        "totalChunks int = 0", "totalTokens int = 0", "totalCharacters int = 0", "totalPages float = 0.0",
        f"createdAt time = {NOW}", "updatedAt time",
    ],
    "Webhook": [
        "id text", "name text", "url text", "secret text", "triggers jsonb", "consecutiveFailures int = 0",
        "lastFailedAt time?", "disabledAt time?", "organizationId text", f"createdAt time = {NOW}", "updatedAt time",
    ],
    "NamespaceWebhook": ["id text", "namespaceId text", "webhookId text"],
}  # fmt: skip

INDEXES: dict[str, set[str]] = {
    "organization": {
        "unique (id)", "unique (slug)", 'unique ("stripeId")', '("usageLastChecked")', "(status)",
    },
    "namespace": {
        "unique (id)", 'unique ("organizationId", slug)', "(status)", '("organizationId", status)',
    },
    "ingest_job": {
        "unique (id)", 'unique ("namespaceId", "externalId")', '("namespaceId", "createdAt" DESC, id DESC)',
        '("namespaceId", status, "createdAt" DESC, id DESC)', '("namespaceId", "tenantId", "createdAt" DESC, id DESC)',
    },
    "document": {
        "unique (id)", 'unique ("namespaceId", "externalId")', '("namespaceId", "createdAt" DESC, id DESC)',
        '("namespaceId", status, "createdAt" DESC, id DESC)', '("namespaceId", "tenantId", "createdAt" DESC, id DESC)',
        '("ingestJobId", "createdAt" DESC, id DESC)', '("ingestJobId", status, "createdAt" DESC, id DESC)',
        '("ingestJobId", "tenantId", "createdAt" DESC, id DESC)',
    },
    "Webhook": {"unique (id)", '("organizationId")'},
    "NamespaceWebhook": {"unique (id)", 'unique ("namespaceId", "webhookId")', '("webhookId")'},
    "member": {"unique (id)", 'unique ("organizationId", "userId")'},
}  # fmt: skip

CASCADES = {
    ("Domain", "hostingId", "Hosting"),
    ("Hosting", "namespaceId", "namespace"),
    ("NamespaceWebhook", "namespaceId", "namespace"),
    ("NamespaceWebhook", "webhookId", "Webhook"),
    ("OrganizationApiKey", "organizationId", "organization"),
    ("Webhook", "organizationId", "organization"),
    ("connection", "namespaceId", "namespace"),
    ("document", "ingestJobId", "ingest_job"),
    ("document", "namespaceId", "namespace"),
    ("ingest_job", "namespaceId", "namespace"),
    ("invitation", "inviterId", "user"),
    ("invitation", "organizationId", "organization"),
    ("member", "organizationId", "organization"),
    ("member", "userId", "user"),
    ("namespace", "organizationId", "organization"),
    ("session", "userId", "user"),
}

ROW_STATUSES = [
    "BACKLOG", "QUEUED", "QUEUED_FOR_RESYNC", "QUEUED_FOR_DELETE", "PRE_PROCESSING", "PROCESSING", "DELETING",
    "CANCELLING", "COMPLETED", "FAILED", "CANCELLED",
]  # fmt: skip


def query(url: str, text: str, *args: object) -> list[Record]:
    async def body(database: Database) -> list[Record]:
        return await database.fetch(text, *args)  # pyright: ignore[reportArgumentType]

    return Adapter("asyncpg", url, AsyncpgDatabase).run(body)


@pytest.mark.parametrize("table", COLUMNS)
def test_columns(migrated_url: str, table: str) -> None:
    found = query(
        migrated_url,
        "select attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then '' else '?' end"
        " || coalesce(' = ' || pg_get_expr(adbin, adrelid), '') as described"
        " from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum"
        " where attrelid = format('public.%I', $1::text)::regclass and attnum > 0 and not attisdropped",
        table,
    )
    assert sorted(str(row["described"]) for row in found) == sorted(map(written_out, COLUMNS[table]))


def written_out(short: str) -> str:
    declaration, equals, default = short.partition(" = ")
    name, kind = declaration.split(" ")
    nullable = kind.endswith("?")
    return f"{name} {TYPES[kind.removesuffix('?')]}{'?' if nullable else ''}{equals}{default}"


@pytest.mark.parametrize("table", INDEXES)
def test_indexes(migrated_url: str, table: str) -> None:
    """Those of the platform; ours are on expressions, which its migrations do not look at."""
    found = query(
        migrated_url,
        "select case when indisunique then 'unique ' else '' end"
        " || substring(pg_get_indexdef(indexrelid) from 'USING btree (.*)$') as described"
        " from pg_index where indrelid = format('public.%I', $1::text)::regclass and indexprs is null",
        table,
    )
    assert {str(row["described"]) for row in found} == INDEXES[table]


def test_every_foreign_key_cascades(migrated_url: str) -> None:
    found = query(
        migrated_url,
        "select child.relname as child, attname as column, parent.relname as parent,"
        " confdeltype::text || confupdtype::text as rules"
        " from pg_constraint join pg_class child on child.oid = conrelid join pg_class parent on parent.oid = confrelid"
        " join pg_attribute on attrelid = conrelid and attnum = conkey[1]"
        " where contype = 'f' and connamespace = 'public'::regnamespace",
    )
    assert {(row["child"], row["column"], row["parent"]) for row in found} == CASCADES
    assert {row["rules"] for row in found} == {"cc"}


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("DocumentStatus", ROW_STATUSES),
        ("IngestJobStatus", ROW_STATUSES),
        ("NamespaceStatus", ["ACTIVE", "DELETING"]),
        ("OrganizationStatus", ["ACTIVE", "DELETING"]),
    ],
)
def test_enum_labels(migrated_url: str, name: str, labels: list[str]) -> None:
    found = query(
        migrated_url,
        "select enumlabel from pg_enum where enumtypid = format('public.%I', $1::text)::regtype order by enumsortorder",
        name,
    )
    assert [row[0] for row in found] == labels


def test_tables_that_need_updated_at_have_no_default_for_it(migrated_url: str) -> None:
    found = query(
        migrated_url,
        "select table_name, column_default, is_nullable from information_schema.columns"
        " where table_schema = 'public' and column_name = 'updatedAt'",
    )
    tables = {str(row["table_name"]) for row in found}
    assert tables >= {
        "document", "ingest_job", "namespace", "Webhook", "Hosting", "Domain", "connection", "OrganizationApiKey",
    }  # fmt: skip
    assert not tables & {"organization", "NamespaceWebhook"}
    assert {(row["column_default"], row["is_nullable"]) for row in found} == {(None, "NO")}


def test_what_is_ours_is_apart(migrated_url: str) -> None:
    found = query(migrated_url, "select table_name from information_schema.tables where table_schema = 'wf'")
    assert {row[0] for row in found} == {
        "counted_document", "effect", "event_outbox", "migration", "parser_result", "vector",
    }  # fmt: skip


def test_deleting_an_organization_takes_everything_of_it(empty_url: str) -> None:
    migrate(empty_url)

    async def body(database: Database) -> None:
        await database.execute(
            "insert into organization (id, name, slug) values ('o', 'O', 'o');"
            'insert into namespace (id, name, slug, "organizationId", "updatedAt")'
            " values ('n', 'N', 'n', 'o', now());"
            "insert into ingest_job (id, \"namespaceId\", payload, \"updatedAt\") values ('j', 'n', '{}', now());"
            'insert into document (id, "namespaceId", "ingestJobId", source, "updatedAt")'
            " values ('d', 'n', 'j', '{}', now());"
            'insert into "Webhook" (id, name, url, secret, triggers, "organizationId", "updatedAt")'
            " values ('w', 'W', 'u', 's', '[]', 'o', now());"
            "insert into \"NamespaceWebhook\" values ('nw', 'n', 'w');"
            'insert into "Hosting" (id, "namespaceId", "updatedAt") values (\'h\', \'n\', now());'
            "insert into \"Domain\" (id, slug, \"hostingId\", \"updatedAt\") values ('dm', 's', 'h', now())"
        )
        await database.execute("delete from organization where id = $1", "o")
        left = await database.fetch(
            "select (select count(*) from namespace) + (select count(*) from ingest_job)"
            " + (select count(*) from document)"
            ' + (select count(*) from "Webhook") + (select count(*) from "NamespaceWebhook")'
            ' + (select count(*) from "Hosting") + (select count(*) from "Domain")'
        )
        assert left[0][0] == 0

    Adapter("asyncpg", empty_url, AsyncpgDatabase).run(body)
