"""Customers' webhooks on the real runtime: prompt, by the tick, and through SIGKILLs of workerd."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from local.process import LocalStack, wait_until
from steps.platform.ids import event_id
from tests.embeddings.stub_server import Received, Reply, StubServer
from tests.ingestion.harness import ORGANIZATION
from tests.webhooks.stubs import Receivers
from tests.workerd.corpus import text
from tests.workerd.run import WAIT_S, Ingestion, document_job

DOCUMENTS = 12
HOOKS = ("wh_1", "wh_2")
INGEST_JOB = "cjobwebhooks0000000000001"
DOCUMENT_EVENTS = ("document.processing", "document.ready")
JOB_EVENTS = ("ingest_job.processing", "ingest_job.ready")
#: The slots of two seconds and a tick of a minute lie between these.
SOON_S = 30.0


class Counting(Receivers):
    """Receivers that many connections may use at once."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def __call__(self, request: Received) -> Reply:
        with self._lock:
            return super().__call__(request)


@pytest.fixture
def receivers() -> Iterator[tuple[Counting, str]]:
    receivers = Counting()
    with StubServer(receivers) as server:
        yield receivers, server.url


def prepare(ingestion: Ingestion, receivers: Counting, url: str) -> None:
    ingestion.tables.prepare()
    ingestion.tables.rows('update organization set "webhookEnabled" = true')
    for name in HOOKS:
        receivers.secrets[name] = f"whsec_{name}"
        ingestion.tables.rows(
            """insert into "Webhook" (id, name, url, secret, triggers, "organizationId", "updatedAt")
            values ($1, 'A webhook', $2, $3, $4::jsonb, $5, now() at time zone 'utc')""",
            name,
            f"{url}/hooks/{name}",
            f"whsec_{name}",
            json.dumps(["document.queued", *DOCUMENT_EVENTS, *JOB_EVENTS]),
            ORGANIZATION,
        )


def expected_events(job_id: str, documents: list[str]) -> set[str]:
    """Return the ids that the events of an ingest job have, whatever happens to its jobs."""
    runs = {document: document_job(job_id, document) for document in documents}
    return {
        *(event_id(job_id, event, INGEST_JOB) for event in JOB_EVENTS),
        *(event_id(job_id, "document.queued", document) for document in documents),
        *(event_id(run, event, document) for document, run in runs.items() for event in DOCUMENT_EVENTS),
    }


def test_no_event_is_lost_and_none_has_a_second_id(tmp_path: Path, receivers: tuple[Counting, str]) -> None:
    stub, url = receivers
    with LocalStack(tmp_path) as stack, Ingestion(stack) as ingestion:
        prepare(ingestion, stub, url)
        ingestion.add(INGEST_JOB, [text(f"Document {number} tells something.") for number in range(DOCUMENTS)])
        job_id = ingestion.start(INGEST_JOB)
        # Killed while documents are processed, and again while their events are delivered.
        wait_until(lambda: len(ingestion.tables.announced()) > DOCUMENTS, timeout_s=WAIT_S, every_s=0.01)
        kill(stack)
        wait_until(lambda: len(stub.delivered) >= 10, timeout_s=WAIT_S, every_s=0.01)
        kill(stack)
        ingestion.finish(INGEST_JOB)
        documents = ingestion.tables.documents(INGEST_JOB)
        assert len(documents) == DOCUMENTS
        expected = {(event, hook) for event in expected_events(job_id, documents) for hook in HOOKS}
        wait_until(lambda: len(stub.identities()) >= len(expected), timeout_s=SOON_S)
        assert stub.identities() == expected
        assert {event for event, _, _ in ingestion.tables.announced()} == {event for event, _ in expected}
        wait_until(lambda: ingestion.tables.count("select count(*) from wf.event_outbox") == 0, timeout_s=SOON_S)
        # What is said of one event is the same to everybody and every time.
        bodies = Counter(event for event, _ in {(item.event_id, item.body) for item in stub.delivered})
        assert set(bodies.values()) == {1}

        # Events that nobody asked to deliver are found by the tick.
        ingestion.tables.rows(
            """insert into wf.event_outbox (id, event, subject, organization_id, payload, created_at)
            select 'evt_left', event, subject, organization_id, payload || '{"id": "evt_left"}', now() - '1 h'::interval
            from announced where event = 'ingest_job.ready'"""
        )
        stack.run_scheduled()
        wait_until(lambda: {("evt_left", hook) for hook in HOOKS} <= stub.identities(), timeout_s=SOON_S)


def test_an_answer_without_end_counts_by_its_status(ingestion: Ingestion) -> None:
    """The Worker reads a bounded part of an answer that does not say its length, and lets go of the rest."""
    with Endless() as url:
        ingestion.tables.rows('update organization set "webhookEnabled" = true')
        ingestion.tables.rows(
            """insert into "Webhook" (id, name, url, secret, triggers, "organizationId", "updatedAt")
            values ('wh_endless', 'A webhook', $1, 'whsec', '[]', $2, now() at time zone 'utc')""",
            url,
            ORGANIZATION,
        )
        payload = {"webhookId": "wh_endless", "eventId": "evt_1", "event": "document.ready", "payload": {"id": "evt_1"}}
        body = {"workflow": "send-webhook", "payload": payload, "options": {"mode": "direct"}}
        job = ingestion.ended(ingestion.call("POST", "/v1/jobs", Id, body).id)
        assert job.result == {"success": True, "status": 202, "response": "(http_body_too_large)"}


class Id(msgspec.Struct, frozen=True):
    id: str


class Endless:
    """A server whose answers never end."""

    def __enter__(self) -> str:
        ended = self._ended = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(202)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not ended.is_set():
                        self.wfile.write(b"more and more " * 1_000)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def kill(stack: LocalStack) -> None:
    with stack.expect_restart():
        stack.kill_workerd()
