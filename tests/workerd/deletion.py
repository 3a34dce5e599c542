"""Deletes an organization on the real runtime, with kills and a vector store that fails now and then.

``make deletion`` plays it at full size; the test beside it plays little.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import LiteralString

import msgspec

from local.process import LocalStack, wait_until
from orchestrator.client import Client
from orchestrator.client.answers import TERMINAL, JobSummary
from tests.embeddings.stub_server import Received, Reply, StubServer, json_reply
from tests.vectors.stores import SECRET, TurbopufferStub
from tests.workerd.play import QUIET_WITHIN_S, Show, main
from tests.workerd.run import assert_quiet
from tests.workerd.scene import changed_configuration
from tests.workerd.tables import Tables

ORGANIZATION, OTHER = "org1", "org2"
WAIT_S = 900.0
#: The catalog may hear of an end this much later than the database does.
SOON_S = 30.0
#: Shares of the requests to the vector store that are refused, refused with a time to wait, and done without an answer.
REFUSED, HURRIED, UNANSWERED = 0.1, 0.04, 0.04
#: As long as those of the local embedding model: documents are ingested into the same namespace.
VECTOR = [1.0] * 256

_ROWS: tuple[LiteralString, ...] = (
    """insert into organization (id, name, slug, "deletedPages", "totalPages") values
        ('org1', 'Doomed', 'one', 2, 2), ('org2', 'Untouched', 'two', 0, 0)""",
    """insert into namespace (id, name, slug, "organizationId", "vectorStoreConfig", "updatedAt")
        select 'ns' || n, 'A namespace', 'ns' || n, case when n = 0 then 'org2' else 'org1' end,
            case when n > 1 then '{"provider": "MANAGED_TURBOPUFFER"}'::jsonb end, now()
        from generate_series(0, $1::int) n""",
    """insert into ingest_job (id, "namespaceId", status, payload, "completedAt", "createdAt", "updatedAt")
        select n.id || 'j' || j, n.id, 'COMPLETED', '{"type": "BATCH", "items": []}', now(),
            now() + j * interval '1 ms', now()
        from namespace n, generate_series(1, $1::int) j""",
    """insert into document (id, "namespaceId", "ingestJobId", status, source, "totalPages", "totalChunks",
            "completedAt", "updatedAt")
        select j.id || 'd' || d, j."namespaceId", j.id, 'COMPLETED',
            case when d % 5 = 0 then jsonb_build_object('type', 'MANAGED_FILE',
                'key', 'namespaces/' || j."namespaceId" || '/' || j.id || '-' || d || '.txt')
                else '{"type": "TEXT", "text": "A text."}' end, 1.5, 2, now(), now()
        from ingest_job j, generate_series(1, $1::int) d""",
    """insert into wf.vector (namespace, id, document_id, body, metadata, embedding)
        select 'as_' || "namespaceId", id || '#' || n, id, 'A text.', '{}', '[1, 2, 3]'
        from document, generate_series(1, 2) n where "namespaceId" in ('ns0', 'ns1')""",
    # Ingested while everything around it is deleted.
    """insert into ingest_job (id, "namespaceId", status, payload, "updatedAt")
        select n.id || 'late', n.id, 'QUEUED', jsonb_build_object('type', 'BATCH', 'items', (
            select jsonb_agg(jsonb_build_object('type', 'TEXT', 'text', repeat('A sentence. ', 400 * d)))
            from generate_series(1, 4) d)), now()
        from namespace n where "organizationId" = 'org1'""",
    """update namespace n set "totalIngestJobs" = (select count(*) from ingest_job where "namespaceId" = n.id),
            "totalDocuments" = (select count(*) from document where "namespaceId" = n.id),
            "totalPages" = (select coalesce(sum("totalPages"), 0) from document where "namespaceId" = n.id)""",
    """update organization o set "totalNamespaces" = s.namespaces, "totalIngestJobs" = s.jobs,
            "totalDocuments" = s.documents, "totalPages" = o."totalPages" + s.pages
        from (select "organizationId", count(*) as namespaces, sum("totalIngestJobs") as jobs,
            sum("totalDocuments") as documents, sum("totalPages") as pages from namespace group by 1) s
        where s."organizationId" = o.id""",
    # What the counters said when the organization's row went.
    "create table wf.buried as select * from organization where false",
    """create function wf.bury() returns trigger language plpgsql as
        $$ begin insert into wf.buried select old.*; return old; end $$""",
    "create trigger bury before delete on organization for each row execute function wf.bury()",
)


class Size(msgspec.Struct, frozen=True):
    """How much is deleted, and what goes wrong meanwhile.

    Attributes:
        namespaces: each of so many ingest jobs of so many documents.
        kills: how often workerd is killed.
        failures: the vector store fails the same request at most so often; None for no such mercy.
        seed: of the moments of the kills and of the failures.
    """

    namespaces: int
    ingest_jobs: int
    documents: int
    kills: int
    failures: int | None = None
    seed: int = 1


class Played(msgspec.Struct, frozen=True):
    """What a play did; ``jobs`` are counted by workflow and status."""

    size: Size
    documents: int
    elapsed_s: float
    kills: int
    crashes: int
    store_requests: int
    store_failures: int
    jobs: dict[str, int]


class FlakyStore:
    """Turbopuffer's contract, broken now and then."""

    def __init__(self, rng: random.Random, at_most: int | None) -> None:
        self.stub = TurbopufferStub()
        self.failures = self.requests = 0
        self._rng = rng
        self._at_most = at_most
        self._failed: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def __call__(self, request: Received) -> Reply:
        with self._lock:
            self.requests += 1
            draw = self._rng.random()
            if self._at_most is not None and self._failed[request.body] >= self._at_most:
                return self.stub(request)
            if draw < REFUSED + HURRIED + UNANSWERED:
                self.failures += 1
                self._failed[request.body] += 1
            if draw < REFUSED + HURRIED:
                hurried = {"retry_after": "1"} if draw >= REFUSED else {}
                return json_reply({"error": "try again"}, 429 if hurried else 503, **hurried)
            reply = self.stub(request)
            if draw < REFUSED + HURRIED + UNANSWERED:
                return Reply(reply.status, reply.body, reply.headers, cut_at=0)
            return reply


def play(size: Size, folder: Path, show: Show = lambda _left, _kills: None) -> Played:
    """Delete the organization, and assert that nothing of it and everything of the other one is left."""
    rng = random.Random(size.seed)
    store = FlakyStore(rng, size.failures)
    with StubServer(store) as server:
        variables = (
            f'[vars]\nDEFAULT_TURBOPUFFER_API_KEY = "{SECRET}"\nDEFAULT_TURBOPUFFER_URL = "{server.url}"\n\n[limits]'
        )
        arguments = changed_configuration(folder, "[limits]", variables)
        with LocalStack(folder / "state", arguments=arguments) as stack:
            tables = Tables(stack.database_url)
            try:
                _seed(size, stack, tables, store)
                return _play(size, stack, tables, store, rng, show)
            finally:
                tables.close()


def _play(size: Size, stack: LocalStack, tables: Tables, store: FlakyStore, rng: random.Random, show: Show) -> Played:
    untouched = _of_the_other(stack, tables)
    total = _documents(tables)
    began = time.monotonic()
    with stack.client() as client:
        for (late,) in tables.rows("select id from ingest_job where status = 'QUEUED'"):
            client.post("/trigger/ingest", json={"body": {"jobId": late}}).raise_for_status()
        answer = client.post("/trigger/delete-organization", json={"body": {"organizationId": ORGANIZATION}})
        answer.raise_for_status()
    kills = _kill_now_and_then(size, stack, tables, rng, total, show)
    elapsed_s = time.monotonic() - began
    jobs = _ended_jobs(stack)
    if elapsed_s < QUIET_WITHIN_S:
        assert_quiet(stack)
    _assert_nothing_left(stack, tables, store)
    assert _of_the_other(stack, tables) == untouched
    _assert_counted(tables)
    counted = Counter(f"{job.workflow} {job.status}" for job in jobs)
    # A job below it may have given up: whoever started it came back to what was left (W-07).
    assert {job.status for job in jobs if job.workflow == "delete-organization-job"} == {"completed"}, counted
    with Client(stack.url, stack.api_key) as client:
        crashes = sum(client.get_job(job.id).crashes for job in jobs)
    return Played(size, total, elapsed_s, kills, crashes, store.requests, store.failures, dict(sorted(counted.items())))


def _seed(size: Size, stack: LocalStack, tables: Tables, store: FlakyStore) -> None:
    counts = iter((size.namespaces, size.ingest_jobs, size.documents))
    for statement in _ROWS:
        tables.rows(statement, *([next(counts)] if "$1" in statement else []))
    for document_id, namespace_id, key in tables.rows(
        """select id, "namespaceId", source ->> 'key' from document order by id"""
    ):
        folder = f"namespaces/{namespace_id}/documents/{document_id}"
        stack.put_blob(f"{folder}/chunks.json", b"{}")
        if key is not None:
            stack.put_blob(str(key), b"A file.")
            stack.put_blob(f"{folder}/image.png", b"An image.", bucket="IMAGES")
        if namespace_id not in ("ns0", "ns1"):
            rows = [
                {"id": f"{document_id}#{n}", "vector": VECTOR, "text": "", "documentId": document_id} for n in (1, 2)
            ]
            stored = store.stub.namespaces.setdefault(f"as_{namespace_id}", {})
            stored.update({str(row["id"]): row for row in rows})


def _kill_now_and_then(
    size: Size, stack: LocalStack, tables: Tables, rng: random.Random, total: int, show: Show
) -> int:
    """Wait for the organization's end, and kill workerd whenever so many documents are left; return how often."""
    marks = sorted(rng.randrange(1, total) for _ in range(size.kills))
    kills = 0

    def ended() -> bool:
        nonlocal kills
        left = _documents(tables)
        show(left, kills)
        while marks and marks[-1] >= left:
            marks.pop()
            with stack.expect_restart():
                stack.kill_workerd()
            kills += 1
        return _organizations(tables) == [OTHER]

    wait_until(ended, timeout_s=WAIT_S, every_s=0.05)
    return kills


def _ended_jobs(stack: LocalStack) -> list[JobSummary]:
    """Wait until the catalog knows that everything has ended, and return all jobs there were."""
    found: list[JobSummary] = []
    with Client(stack.url, stack.api_key) as client:

        def ended() -> bool:
            found[:] = client.search_jobs()
            return all(job.status in TERMINAL for job in found)

        wait_until(ended, timeout_s=SOON_S, every_s=0.5)
    return found


def _documents(tables: Tables) -> int:
    return tables.count(
        """select count(*) from document d join namespace n on n.id = d."namespaceId"
        where n."organizationId" = 'org1'"""
    )


def _organizations(tables: Tables) -> list[str]:
    return [str(row[0]) for row in tables.rows("select id from organization order by id")]


def _of_the_other(stack: LocalStack, tables: Tables) -> object:
    """Return everything that belongs to the organization that is not deleted."""
    return (
        tables.rows("select to_jsonb(o)::text from organization o where id = 'org2'"),
        tables.rows("select to_jsonb(n)::text from namespace n where id = 'ns0'"),
        tables.rows("select to_jsonb(j)::text from ingest_job j where \"namespaceId\" = 'ns0' order by id"),
        tables.rows("select to_jsonb(d)::text from document d where \"namespaceId\" = 'ns0' order by id"),
        tables.rows("select id from wf.vector where namespace = 'as_ns0' order by id"),
        [key for bucket in ("BLOBS", "IMAGES") for key in stack.list_blobs(bucket=bucket) if "/ns0/" in key],
    )


def _assert_nothing_left(stack: LocalStack, tables: Tables, store: FlakyStore) -> None:
    left = [
        tables.count("select count(*) from namespace where id <> 'ns0'"),
        tables.count("select count(*) from ingest_job where \"namespaceId\" <> 'ns0'"),
        tables.count("select count(*) from document where \"namespaceId\" <> 'ns0'"),
        tables.count("select count(*) from wf.vector where namespace <> 'as_ns0'"),
        tables.count("select count(*) from wf.counted_document"),
        tables.count("select count(*) from wf.parser_result"),
    ]
    assert left == [0] * len(left), left
    assert {name: rows for name, rows in store.stub.namespaces.items() if rows} == {}
    for bucket in ("BLOBS", "IMAGES", "ASSETS"):
        assert [key for key in stack.list_blobs(bucket=bucket) if "/ns0/" not in key] == [], bucket


def _assert_counted(tables: Tables) -> None:
    """Assert what the counters said when the row went: nothing is left, and every page that ever was is given back."""
    ((namespaces, jobs, documents, pages),) = tables.rows(
        """select "totalNamespaces", "totalIngestJobs", "totalDocuments", "totalPages" - "deletedPages"
        from wf.buried"""
    )
    assert (namespaces, jobs, documents) == (0, 0, 0)
    assert isinstance(pages, float)
    assert abs(pages) < 1e-6, pages


def _total(size: Size) -> int:
    return size.namespaces * size.ingest_jobs * size.documents


def _place(total: int, left: int, kills: int) -> tuple[int, str]:
    return total - left, f"{left} documents left, {kills} kills"


def _tell(played: Played) -> tuple[str, str]:
    done = (
        f"{played.documents} documents in {played.elapsed_s:.0f} s; {played.kills} kills, {played.crashes} slices "
        f"died; {played.store_failures} of {played.store_requests} requests to the vector store failed"
    )
    return done, "Nothing is left, the counters are exact, the neighbour is as it was."


if __name__ == "__main__":
    numbers = {"namespaces": 3, "ingest-jobs": 20, "documents": 50, "kills": 10, "seed": 1}
    raise SystemExit(main("deletion", __doc__, numbers, Size, play, _total, _place, _tell))
