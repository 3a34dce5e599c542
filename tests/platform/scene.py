"""The standard scene: two organizations with everything around them, under fixed ids.

========== =========== ============================ =======================================================
namespace  vectors in  ingest jobs                  worth knowing
========== =========== ============================ =======================================================
nsone      pgvector    QUEUED, BATCH, FAILED,       a hosted page; an upload nobody ingested; one document of
                       TENANT, PROCESSING           12.5 pages with images; one that waits, one that runs
nstwo      Pinecone    SHARED                       two documents of one object
nsthree    Turbopuffer CRAWL, YOUTUBE               a page over the quota; one of two tenants
nsother    pgvector    OTHER                        of another organization: no job of the first may touch it
========== =========== ============================ =======================================================

The example payloads of the workflows in ``steps/`` name these rows. Counters fit the rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import LiteralString

import msgspec

from orchestrator.ports import Blobs, Database, Http
from steps.platform.ids import document_id
from steps.vectors import VectorRow
from steps.vectors.config import VectorStoreSettings, parse_vector_store_config
from steps.vectors.factory import vector_store_for
from tests.ingestion.embedder import vector
from tests.platform.picture import Row
from tests.vectors.stores import SECRET

ORGANIZATION, OTHER_ORGANIZATION = "org1", "org2"
NAMESPACE, PINECONE, TURBOPUFFER, OTHER_NAMESPACE = "nsone", "nstwo", "nsthree", "nsother"
TENANT = "tenant1"

QUEUED = "cjob0000000000000000000001"
BATCH = "cjob0000000000000000000002"
FAILED = "cjob0000000000000000000003"
TENANT_JOB = "cjob0000000000000000000004"
PROCESSING = "cjob0000000000000000000005"
SHARED = "cjob0000000000000000000006"
CRAWL = "cjob0000000000000000000007"
YOUTUBE = "cjob0000000000000000000008"
OTHER = "cjob0000000000000000000009"

#: Of BATCH: a text, a managed file of 12.5 pages with images, and a file fetched from the web.
TEXT_DOCUMENT, PAGED_DOCUMENT, FILE_DOCUMENT = (document_id(BATCH, index) for index in range(3))
#: Of PROCESSING: one that nobody works on yet, and one whose run died.
WAITING_DOCUMENT, RUNNING_DOCUMENT = (document_id(PROCESSING, index) for index in range(2))
SHARED_DOCUMENTS = (document_id(SHARED, 0), document_id(SHARED, 1))
PAGES = ("kpage00000000000000000001", "kpage00000000000000000002")
PAGE_OVER_QUOTA = "kpage00000000000000000003"
VIDEO = "kvideo0000000000000000001"

PAGED_KEY = f"namespaces/{NAMESPACE}/paged-AbC1.md"
SHARED_KEY = f"namespaces/{PINECONE}/shared-AbC1.md"
UNUSED_KEY = f"namespaces/{NAMESPACE}/unused-AbC1.md"
FILE_URL = "https://files.example.com/report.txt"
ASSETS_URL = "https://assets.example.com"
FILES = {FILE_URL: b"A report.\n\nIt lies on the web."}
TEXT = "A text in the payload.\n\nIts second paragraph."
PINECONE_ORIGIN = "https://scene.pinecone.example.com"
TURBOPUFFER_ORIGIN = "https://aws-us-east-1.turbopuffer.com"

#: The platform's cache, a counter of its own, and what a parse that nobody remembers has left.
REDIS = {
    f"webhook:org:{ORGANIZATION}": "[]",
    "ratelimit:api": "1",
    **{f"results_00000000-0000-4000-8000-000000000000_{number}": "[]" for number in range(3)},
}
EVERYWHERE, SCOPED, SCOPED_TWICE, DISABLED = "wh_everywhere", "wh_scoped", "wh_twice", "wh_disabled"
TRIGGERS = [f"{subject}.{what}" for subject in ("document", "ingest_job") for what in ("ready", "error", "deleted")]

VECTOR_SETTINGS = VectorStoreSettings(
    vector_store_default="pgvector",
    turbopuffer_api_key=SECRET,
    pinecone_api_key=SECRET,
    pinecone_host=PINECONE_ORIGIN,
)
STORES: Mapping[str, Row | None] = {
    NAMESPACE: None,
    PINECONE: {"provider": "MANAGED_PINECONE"},
    TURBOPUFFER: {"provider": "MANAGED_TURBOPUFFER"},
    OTHER_NAMESPACE: None,
}
_LONG_AGO = "2026-01-05T10:00:00.000"
_STAMPS = {"queuedAt": _LONG_AGO, "createdAt": _LONG_AGO, "updatedAt": _LONG_AGO}
_NO_STAMPS: Row = {"preProcessingAt": None, "processingAt": None, "completedAt": None, "failedAt": None}
_STARTED: Row = {**_NO_STAMPS, "preProcessingAt": _LONG_AGO, "processingAt": _LONG_AGO}
_COMPLETED: Row = {**_STARTED, "completedAt": _LONG_AGO, "status": "COMPLETED"}
_FAILED: Row = {"failedAt": _LONG_AGO, "status": "FAILED"}

_INSERTS: Mapping[str, LiteralString] = {
    "organization": "insert into organization select * from jsonb_populate_recordset(null::organization, $1::jsonb)",
    "user": 'insert into "user" select * from jsonb_populate_recordset(null::"user", $1::jsonb)',
    "member": "insert into member select * from jsonb_populate_recordset(null::member, $1::jsonb)",
    "namespace": "insert into namespace select * from jsonb_populate_recordset(null::namespace, $1::jsonb)",
    "Hosting": 'insert into "Hosting" select * from jsonb_populate_recordset(null::"Hosting", $1::jsonb)',
    "Domain": 'insert into "Domain" select * from jsonb_populate_recordset(null::"Domain", $1::jsonb)',
    "connection": "insert into connection select * from jsonb_populate_recordset(null::connection, $1::jsonb)",
    "Webhook": 'insert into "Webhook" select * from jsonb_populate_recordset(null::"Webhook", $1::jsonb)',
    "NamespaceWebhook": """insert into "NamespaceWebhook"
        select * from jsonb_populate_recordset(null::"NamespaceWebhook", $1::jsonb)""",
    "ingest_job": "insert into ingest_job select * from jsonb_populate_recordset(null::ingest_job, $1::jsonb)",
    "document": "insert into document select * from jsonb_populate_recordset(null::document, $1::jsonb)",
}


class Objects(msgspec.Struct, frozen=True):
    """The objects of each bucket."""

    blobs: Mapping[str, bytes]
    images: Mapping[str, bytes]
    assets: Mapping[str, bytes]


def chunks_key(namespace_id: str, document_id: str) -> str:
    """Return where a document's chunks lie (domain.md §4)."""
    return f"namespaces/{namespace_id}/documents/{document_id}/chunks.json"


async def reset(database: Database) -> None:
    """Make the tables empty."""
    for statement in (
        "delete from organization",
        'delete from "user"',
        "delete from wf.effect",
        "delete from wf.event_outbox",
        "delete from wf.counted_document",
        "delete from wf.parser_result",
        "delete from wf.vector",
    ):
        await database.execute(statement)


async def seed(database: Database, buckets: Mapping[str, Blobs], http: Http) -> None:
    """Make the scene and nothing else.

    Args:
        database: its tables are emptied first.
        buckets: ``blobs``, ``images`` and ``assets``, empty.
        http: where the vector stores answer.
    """
    await reset(database)
    tables = rows()
    for table, statement in _INSERTS.items():
        await database.execute(statement, json.dumps(tables[table]))
    for name, found in msgspec.structs.asdict(objects()).items():
        for key, data in found.items():
            await buckets[name].put(key, data)
    for row in tables["document"]:
        if row["completedAt"] is not None:
            await _store_vectors(database, http, row)


async def _store_vectors(database: Database, http: Http, document: Row) -> None:
    namespace_id, tenant_id = str(document["namespaceId"]), msgspec.convert(document["tenantId"], str | None)
    stored = STORES[namespace_id]
    config = parse_vector_store_config(None if stored is None else json.dumps(stored))
    store = vector_store_for(config, VECTOR_SETTINGS, namespace_id, tenant_id, http, database)
    texts = [f"Chunk {number} of {document['id']}." for number in range(int(str(document["totalChunks"])))]
    await store.upsert(
        [
            VectorRow(
                f"{document['id']}#{number:08}-0000-4000-8000-000000000000",
                vector(text),
                text,
                {"documentId": str(document["id"]), "namespaceId": namespace_id, "sequence_number": number},
            )
            for number, text in enumerate(texts)
        ]
    )


def objects() -> Objects:
    """Return what lies in the buckets."""
    parsed = [row for row in rows()["document"] if row["completedAt"] is not None]
    chunks = {chunks_key(str(row["namespaceId"]), str(row["id"])): b'{"chunks":[]}' for row in parsed}
    images = f"namespaces/{NAMESPACE}/documents/{PAGED_DOCUMENT}"
    hosting = f"namespaces/ns_{NAMESPACE}/hosting"
    return Objects(
        blobs={
            **chunks,
            PAGED_KEY: b"# A file\n\nOf some pages.",
            SHARED_KEY: b"# A file\n\nOf two documents.",
            UNUSED_KEY: b"Nobody ingested this.",
        },
        images={f"{images}/{number}.png": b"an image" for number in range(3)},
        assets={f"{hosting}/logo_1234567": b"a logo", f"{hosting}/og_image_1234567": b"a preview"},
    )


def rows() -> dict[str, list[Row]]:
    """Return every row of the scene, by table."""
    documents = _documents()
    ingest_jobs = _ingest_jobs()
    namespaces = [_namespace(namespace_id, ingest_jobs, documents) for namespace_id in STORES]
    return {
        "organization": [
            _organization(ORGANIZATION, "pro", namespaces, deleted_pages=2.5),
            _organization(OTHER_ORGANIZATION, "free", namespaces, deleted_pages=0.0),
        ],
        "user": [
            {
                "id": "user1",
                "name": "Ada",
                "email": "ada@example.com",
                "emailVerified": True,
                "createdAt": _LONG_AGO,
                "updatedAt": _LONG_AGO,
            }
        ],
        "member": [
            {"id": "m1", "organizationId": ORGANIZATION, "userId": "user1", "role": "owner", "createdAt": _LONG_AGO}
        ],
        "namespace": namespaces,
        "Hosting": [
            {
                "id": "hosting1",
                "namespaceId": NAMESPACE,
                "logo": f"{ASSETS_URL}/namespaces/ns_{NAMESPACE}/hosting/logo_1234567",
                "ogImage": f"{ASSETS_URL}/namespaces/ns_{NAMESPACE}/hosting/og_image_1234567",
                "createdAt": _LONG_AGO,
                "updatedAt": _LONG_AGO,
            }
        ],
        "Domain": [
            {
                "id": "domain1",
                "slug": "ask.example.com",
                "hostingId": "hosting1",
                "createdAt": _LONG_AGO,
                "updatedAt": _LONG_AGO,
            }
        ],
        "connection": [{"id": "c1", "namespaceId": NAMESPACE, "createdAt": _LONG_AGO, "updatedAt": _LONG_AGO}],
        "Webhook": [_webhook(name) for name in (EVERYWHERE, SCOPED, SCOPED_TWICE, DISABLED)],
        "NamespaceWebhook": [
            {"id": "l1", "namespaceId": NAMESPACE, "webhookId": SCOPED},
            {"id": "l2", "namespaceId": NAMESPACE, "webhookId": SCOPED_TWICE},
            {"id": "l3", "namespaceId": PINECONE, "webhookId": SCOPED_TWICE},
            {"id": "l4", "namespaceId": NAMESPACE, "webhookId": DISABLED},
        ],
        "ingest_job": ingest_jobs,
        "document": documents,
    }


def _documents() -> list[Row]:
    managed: Row = {"type": "MANAGED_FILE", "key": PAGED_KEY}
    shared: Row = {"type": "MANAGED_FILE", "key": SHARED_KEY}
    missing: Row = {"type": "MANAGED_FILE", "key": f"namespaces/{NAMESPACE}/missing.txt"}
    text: Row = {"type": "TEXT", "text": TEXT}
    page: Row = {"type": "CRAWLED_PAGE", "title": "A page"}
    waiting: Row = {"status": "QUEUED", **_NO_STAMPS}
    running: Row = {"status": "PROCESSING", **_STARTED}
    over: Row = {**_NO_STAMPS, **_FAILED, "error": "Pages limit exceeded", "totalPages": 3.0, "totalChunks": 4}
    lost: Row = {**_STARTED, **_FAILED, "error": "Object not found: missing.txt"}
    return [
        _document(TEXT_DOCUMENT, BATCH, NAMESPACE, text, _done(0.045)),
        _document(PAGED_DOCUMENT, BATCH, NAMESPACE, managed, _done(12.5) | {"name": "paged.md"}),
        _document(FILE_DOCUMENT, BATCH, NAMESPACE, {"type": "FILE", "fileUrl": FILE_URL}, _done(0.028)),
        _document(document_id(FAILED, 0), FAILED, NAMESPACE, missing, lost),
        _document(document_id(TENANT_JOB, 0), TENANT_JOB, NAMESPACE, text, _done(0.045) | {"tenantId": TENANT}),
        _document(WAITING_DOCUMENT, PROCESSING, NAMESPACE, text, waiting),
        _document(RUNNING_DOCUMENT, PROCESSING, NAMESPACE, text, running),
        *(_document(found, SHARED, PINECONE, shared, _done(1.25)) for found in SHARED_DOCUMENTS),
        _document(PAGES[0], CRAWL, TURBOPUFFER, page, _done(1.5) | {"name": "https://example.com/"}),
        _document(PAGES[1], CRAWL, TURBOPUFFER, page, _done(0.4) | {"name": "https://example.com/two"}),
        _document(PAGE_OVER_QUOTA, CRAWL, TURBOPUFFER, page, over),
        _document(
            VIDEO, YOUTUBE, TURBOPUFFER, {"type": "YOUTUBE_VIDEO", "videoId": "v"}, _done(2.0) | {"tenantId": TENANT}
        ),
        _document(document_id(OTHER, 0), OTHER, OTHER_NAMESPACE, text, _done(0.045)),
    ]


def _done(pages: float) -> Row:
    return {**_COMPLETED, "totalChunks": 2, "totalTokens": 12, "totalCharacters": 45, "totalPages": pages}


def _document(row_id: str, ingest_job_id: str, namespace_id: str, source: Row, more: Row) -> Row:
    return {
        "id": row_id,
        "ingestJobId": ingest_job_id,
        "namespaceId": namespace_id,
        "name": None,
        "tenantId": None,
        "error": None,
        "source": source,
        "workflowRunsIds": [],
        "totalChunks": 0,
        "totalTokens": 0,
        "totalCharacters": 0,
        "totalPages": 0.0,
        **_STAMPS,
        **more,
    }


def _ingest_jobs() -> list[Row]:
    text: Row = {"type": "TEXT", "text": TEXT}
    items: list[Row] = [text, {"type": "MANAGED_FILE", "key": PAGED_KEY}, {"type": "FILE", "fileUrl": FILE_URL}]
    missing: Row = {"type": "MANAGED_FILE", "key": f"namespaces/{NAMESPACE}/missing.txt"}
    shared: Row = {"type": "MANAGED_FILE", "key": SHARED_KEY}
    video: Row = {"type": "YOUTUBE", "urls": ["https://youtu.be/v"]}
    queued: Row = {"status": "QUEUED", **_NO_STAMPS}
    running: Row = {"status": "PROCESSING", **_STARTED}
    failed: Row = {**_STARTED, **_FAILED, "error": "Failed to process documents"}
    over: Row = {**_STARTED, **_FAILED, "error": "1 document(s) exceeded pages limit"}
    return [
        _ingest_job(QUEUED, NAMESPACE, text, queued),
        _ingest_job(BATCH, NAMESPACE, {"type": "BATCH", "items": items}, _COMPLETED | {"name": "A batch"}),
        _ingest_job(FAILED, NAMESPACE, missing, failed),
        _ingest_job(TENANT_JOB, NAMESPACE, text, _COMPLETED | {"tenantId": TENANT}),
        _ingest_job(PROCESSING, NAMESPACE, {"type": "BATCH", "items": [text, text]}, running),
        _ingest_job(SHARED, PINECONE, {"type": "BATCH", "items": [shared, shared]}, _COMPLETED),
        _ingest_job(CRAWL, TURBOPUFFER, {"type": "CRAWL", "url": "https://example.com/"}, over),
        _ingest_job(YOUTUBE, TURBOPUFFER, video, _COMPLETED | {"tenantId": TENANT, "name": "A video"}),
        _ingest_job(OTHER, OTHER_NAMESPACE, text, _COMPLETED),
    ]


def _ingest_job(row_id: str, namespace_id: str, payload: Row, more: Row) -> Row:
    return {
        "id": row_id,
        "namespaceId": namespace_id,
        "error": None,
        "name": None,
        "tenantId": None,
        "payload": payload,
        "config": None,
        "workflowRunsIds": [],
        **_STAMPS,
        **more,
    }


def _namespace(row_id: str, ingest_jobs: Iterable[Row], documents: Iterable[Row]) -> Row:
    own = [row for row in documents if row["namespaceId"] == row_id]
    return {
        "id": row_id,
        "name": f"Namespace {row_id}",
        "slug": row_id,
        "organizationId": OTHER_ORGANIZATION if row_id == OTHER_NAMESPACE else ORGANIZATION,
        "vectorStoreConfig": STORES[row_id],
        "totalIngestJobs": sum(row["namespaceId"] == row_id for row in ingest_jobs),
        "totalDocuments": sum(row["error"] != "Pages limit exceeded" for row in own),
        "totalPlaygroundUsage": 0,
        "totalPages": sum(number(row, "totalPages") for row in own if row["completedAt"] is not None),
        "keywordEnabled": False,
        "status": "ACTIVE",
        "createdAt": _LONG_AGO,
        "updatedAt": _LONG_AGO,
    }


def _organization(row_id: str, plan: str, namespaces: Iterable[Row], *, deleted_pages: float) -> Row:
    own = [row for row in namespaces if row["organizationId"] == row_id]
    return {
        "id": row_id,
        "name": f"Organization {row_id}",
        "slug": row_id,
        "totalNamespaces": len(own),
        "totalIngestJobs": sum(number(row, "totalIngestJobs") for row in own),
        "totalDocuments": sum(number(row, "totalDocuments") for row in own),
        "totalPages": sum(number(row, "totalPages") for row in own) + deleted_pages,
        "deletedPages": deleted_pages,
        "pagesLimit": 1000,
        "searchUsage": 7,
        "searchLimit": 10_000,
        "apiRatelimit": 60,
        "plan": plan,
        "stripeId": f"cus_{row_id}" if plan != "free" else None,
        "billingCycleStart": 15 if plan != "free" else None,
        "webhookEnabled": True,
        "status": "ACTIVE",
        "createdAt": _LONG_AGO,
        "usageLastChecked": _LONG_AGO,
    }


def _webhook(row_id: str) -> Row:
    return {
        "id": row_id,
        "name": row_id,
        "url": f"https://hooks.example.com/{row_id}",
        "secret": f"whsec_{row_id}",
        "triggers": TRIGGERS,
        "consecutiveFailures": 0,
        "disabledAt": _LONG_AGO if row_id == DISABLED else None,
        "organizationId": ORGANIZATION,
        "createdAt": _LONG_AGO,
        "updatedAt": _LONG_AGO,
    }


def number(row: Row, name: str) -> float:
    """Return a column that is a number."""
    value = row[name]
    assert isinstance(value, int | float)
    return value
