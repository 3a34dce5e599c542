"""The API on CPython over the real engine and the real catalog, in a world of virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

import httpx
import msgspec
from pydantic import BaseModel

from durable.alerts.model import AlertsView, Observation
from durable.alerts.settings import AlertPolicy, AlertReceiver
from durable.audit import AuditEntry, AuditLog, AuditOutcome, AuditQuery
from durable.catalog_model import (
    CatalogCounts,
    CountsQuery,
    DeadLetterPage,
    DeadLetterQuery,
    JobPage,
    JobQuery,
    Redriven,
    ShardState,
)
from durable.catalog_shards import ShardedCatalog
from durable.http.app import create_app
from durable.http.gate import Message, Receive, Send
from durable.http.host import Host
from durable.http.memory import GateMemory
from durable.keys import KeyQuery, KeyRecord, KeyStore
from orchestrator import (
    JobContext,
    NonRetryableError,
    RetryableError,
    RetryPolicy,
    StepFailedError,
    WorkflowOptions,
    current_step,
    workflow,
)
from orchestrator.control import control
from orchestrator.export import ExportPage, export_page
from orchestrator.lane import LaneView
from orchestrator.lifecycle import JobStatus
from orchestrator.model import ControlJob, Created, CreateJob, DeadLetter, Event, JobOwner, JobView, RetryJob, StepView
from orchestrator.testing import MemorySql, World
from orchestrator.tokens import TokenAddress
from orchestrator.views import job_owner, step_view
from steps.diagnostics import diagnostic_echo, diagnostic_lane
from tests.alerts.host import AlertHost
from tests.catalog.world import CatalogWorld
from tests.http.conformance import document_of
from tests.schedules.backend import WorldSchedules
from tests.schedules.world import ScheduleWorld

KEY = "a key of the tests"
SECRET = "never-show-this"
#: One application for every test: it holds nothing of a request.
APP = create_app()


class Anything(BaseModel):
    """A payload that takes any JSON."""

    value: object = None


async def stuck() -> None:
    raise RetryableError("not yet", code="not_yet")


async def broken() -> None:
    raise NonRetryableError("cannot be mended", code="broken_thing")


@workflow("keep")
async def keep(job: JobContext, payload: Anything) -> object:
    return payload.value


@workflow("trigger-ingestion-job", options=WorkflowOptions(queue="agentset-ingest-queue"))
async def ingestion(job: JobContext, payload: Anything) -> None:
    return None


@workflow("meter-org-documents-job", options=WorkflowOptions(queue="agentset-meter-docs-queue"))
async def meter(job: JobContext, payload: Anything) -> None:
    return None


@workflow(
    "stuck", options=WorkflowOptions(retry=RetryPolicy(max_attempts=100, initial_interval_ms=5000, jitter="none"))
)
async def stuck_for_long(job: JobContext, payload: Anything) -> None:
    await job.step("wait here", stuck)


@workflow("broken")
async def breaking(job: JobContext, payload: Anything) -> None:
    await job.step("break", broken)


async def broken_until_mended() -> str:
    if current_step().services != "mended":
        raise NonRetryableError("cannot be mended", code="broken_thing")
    return "mended"


@workflow("tolerant")
async def tolerant(job: JobContext, payload: Anything) -> list[str]:
    """Go on without the steps that give up. They work once the world's services are ``mended``."""
    found: list[str] = []
    for name in ("first", "second"):
        try:
            found.append(await job.step(name, broken_until_mended))
        except StepFailedError as error:
            found.append(error.record.code)
    return found


@workflow("approval")
async def approval(job: JobContext, payload: Anything) -> object:
    token = await job.create_token(timeout_ms=3_600_000)
    job.set_metadata("token", {"id": token.id, "access": token.access_token})
    decision = await job.wait_for_token(token)
    event = await job.wait_for_event("signed")
    return [decision, event]


class WorldBackend:
    """Implements :class:`durable.http.host.JobsBackend` over a world of jobs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.catalog = CatalogWorld(world)
        self.alert_host = AlertHost(AlertPolicy(), AlertReceiver(), world.clock)
        #: Whether the catalog hears of what jobs publish before it is asked.
        self.feeds_catalog = True
        self.sent: list[tuple[str, list[str]]] = []
        #: Jobs that the catalog is to look for.
        self.expected: list[str] = []
        self.requests: list[CreateJob] = []
        #: What the next calls raise, by method.
        self.failures: dict[str, list[Exception]] = {}

    async def create(self, request: CreateJob) -> Created:
        self._maybe_fail("create")
        self.requests.append(request)
        return self.world.call(request.job_id, lambda engine: engine.create(request))

    async def expect(self, job_ids: Sequence[str]) -> None:
        self._maybe_fail("expect")
        self.expected += job_ids

    async def enqueue(self, queue: str, job_ids: Sequence[str]) -> None:
        self._maybe_fail("enqueue")
        self.sent.append((queue, list(job_ids)))
        self.world.queued.extend(job_ids)

    async def owner(self, job_id: str) -> JobOwner:
        return self.world.call(job_id, lambda engine: job_owner(engine.known()))

    async def view(self, job_id: str) -> JobView:
        self._maybe_fail("view")
        return self.world.view(job_id)

    async def steps(self, job_id: str) -> list[StepView]:
        self.world.view(job_id)
        return [step_view(row) for row in self.world.objects[job_id].engine.journal.steps()]

    async def events(self, job_id: str, after: int) -> list[Event]:
        self._maybe_fail("events")
        self.world.view(job_id)
        return self.world.objects[job_id].engine.journal.history.after(after, 500)

    async def export(self, job_id: str, cursor: str | None) -> ExportPage:
        self._maybe_fail("export")
        return self.world.call(job_id, lambda engine: export_page(engine.known(), engine.journal, cursor))

    async def cancel(self, job_id: str, reason: str) -> JobStatus:
        return self.world.call(job_id, lambda engine: engine.cancel(reason))

    async def pause(self, job_id: str) -> JobStatus:
        return self.world.call(job_id, lambda engine: engine.pause())

    async def resume(self, job_id: str) -> JobStatus:
        return self.world.call(job_id, lambda engine: engine.resume())

    async def retry(self, job_id: str, request: RetryJob) -> JobStatus:
        return self.world.call(job_id, lambda engine: engine.retry(request))

    async def delete(self, job_id: str) -> None:
        self.world.call(job_id, lambda engine: engine.delete())

    async def supersede(self, job_id: str, generation: int) -> None:
        self._maybe_fail("supersede")
        self.world.call(job_id, lambda engine: engine.supersede(generation))

    async def control(self, job_id: str, request: ControlJob) -> JobStatus:
        self._maybe_fail("control")
        return self.world.call(job_id, lambda engine: control(engine, request))

    async def deliver_event(self, job_id: str, name: str, event_id: str | None, data: object) -> None:
        self.world.call(job_id, lambda engine: engine.deliver_event(name, event_id, data))

    async def complete_token(self, address: TokenAddress, data: object) -> None:
        self.world.call(address.job_id, lambda engine: engine.complete_token(address.key, data))

    async def list_jobs(self, query: JobQuery) -> JobPage:
        return await (await self._fed()).list_jobs(query)

    async def list_dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        return await (await self._fed()).list_dead_letters(query)

    async def get_dead_letter(self, letter_id: str) -> DeadLetter:
        return await (await self._fed()).get_dead_letter(letter_id)

    async def mark_redriven(self, redriven: Redriven) -> None:
        await self.catalog.catalog.mark_redriven(redriven)

    async def counts(self, query: CountsQuery) -> CatalogCounts:
        return await (await self._fed()).counts(query)

    async def shard_states(self) -> list[ShardState]:
        return await (await self._fed()).states()

    async def alerts(self) -> AlertsView:
        self._maybe_fail("alerts")
        return self.alert_host.engine.view()

    async def observe(self, observation: Observation) -> None:
        self.alert_host.engine.observe(observation)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        raise AssertionError((level, event, fields))

    async def rebuild_shards(self, names: Sequence[str]) -> list[ShardState]:
        return await self.catalog.catalog.rebuild(names)

    async def lane(self, name: str) -> LaneView:
        self._maybe_fail("lane")
        return self.world.lanes.get(name).call(lambda engine: engine.view(name))

    async def pause_lane(self, name: str) -> LaneView:
        self.world.lanes.get(name).call(lambda engine: engine.pause())
        return await self.lane(name)

    async def resume_lane(self, name: str) -> LaneView:
        self.world.lanes.get(name).call(lambda engine: engine.resume())
        return await self.lane(name)

    async def _fed(self) -> ShardedCatalog:
        """Return the catalog once it has read what it reads when it is new, and knows what jobs have published."""
        if not self.feeds_catalog:
            return self.catalog.catalog
        for name in self.catalog.layout.names():
            await self.catalog.calls.shard(name, "state")
        await self.catalog.settle(move_time=False)
        for summary in self.world.catalog.values():
            await self.catalog.calls.publish(summary)
        for job in self.world.deleted:
            await self.catalog.calls.forget(job)
        return self.catalog.catalog

    def _maybe_fail(self, method: str) -> None:
        waiting = self.failures.get(method)
        if waiting:
            raise waiting.pop(0)


class WorldKeys:
    """Implements :class:`durable.http.host.KeysBackend` over the real store in a world of virtual time."""

    def __init__(self, world: World) -> None:
        self.store = KeyStore(MemorySql())
        self.asked = 0
        #: What the next lookups raise.
        self.failures: list[Exception] = []
        #: Keys that somebody else revokes at this time.
        self.revoke_after: dict[str, int] = {}
        self._world = world

    async def add(self, record: KeyRecord) -> None:
        # As on the way to the object.
        self.store.add(msgspec.json.decode(msgspec.json.encode(record), type=KeyRecord))

    async def get(self, key_id: str) -> KeyRecord | None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        now_ms = self._world.clock.now_ms()
        if now_ms >= self.revoke_after.get(key_id, now_ms + 1):
            self.store.revoke(key_id, now_ms)
        return self.store.get(key_id)

    async def list(self, query: KeyQuery) -> list[KeyRecord]:
        return self.store.list(query)

    async def revoke(self, key_id: str) -> None:
        self.store.revoke(key_id, self._world.clock.now_ms())


class WorldAudit:
    """Implements :class:`durable.http.host.AuditBackend` over the real log."""

    def __init__(self) -> None:
        self.log = AuditLog(MemorySql())
        #: What the next calls raise, by method.
        self.failures: dict[str, list[Exception]] = {}

    async def add(self, entries: Sequence[AuditEntry]) -> None:
        self._maybe_fail("add")
        self.log.add(msgspec.json.decode(msgspec.json.encode(entries), type=list[AuditEntry]))

    async def settle(self, outcomes: Sequence[AuditOutcome]) -> None:
        self._maybe_fail("settle")
        self.log.settle(msgspec.json.decode(msgspec.json.encode(outcomes), type=list[AuditOutcome]))

    async def list(self, query: AuditQuery) -> list[AuditEntry]:
        return self.log.list(query)

    def _maybe_fail(self, method: str) -> None:
        waiting = self.failures.get(method)
        if waiting:
            raise waiting.pop(0)


class Api:
    """The API and what is behind it."""

    def __init__(self, api_key: str | None = KEY) -> None:
        self.world = ScheduleWorld(
            diagnostic_echo, diagnostic_lane, keep, ingestion, meter, stuck_for_long, breaking, tolerant, approval
        )
        self.backend = WorldBackend(self.world)
        self.schedules = WorldSchedules(self.world)
        self.keys = WorldKeys(self.world)
        self.audit = WorldAudit()
        self.logs: list[tuple[str, str, dict[str, object]]] = []
        #: Requests that were to become WebSockets.
        self.watched: list[tuple[str, int, str]] = []
        self.host = Host(
            backend=self.backend,
            schedules=self.schedules,
            registry=self.world.registry,
            clock=self.world.clock,
            entropy=self.world.entropy,
            log=self._log,
            pause=self._pause,
            signer=lambda: self.world.signer,
            watch=lambda job_id, after, key_id: self.watched.append((job_id, after, key_id)),
            api_key=api_key,
            keys=self.keys,
            audit=self.audit,
            memory=GateMemory(),
        )

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = KEY,
    ) -> httpx.Response:
        """Send one request."""
        lines = {} if key is None else {"authorization": f"Bearer {key}"}
        if content is not None:
            lines["content-type"] = "application/json"
        lines |= headers or {}
        sent = {name.encode(): value.encode() for name, value in lines.items()}

        async def send() -> httpx.Response:
            async with self.client() as client:
                if json is not None:
                    return await client.request(method, path, json=json, headers=sent)
                return await client.request(method, path, content=content, headers=sent)

        answer = asyncio.run(send())
        document_of(self.world.registry).check(method, answer.url.path, answer)
        return answer

    def client(self) -> httpx.AsyncClient:
        """Return what sends requests from within a running loop."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self._app), base_url="http://api")

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Send a GET; ``last_event_id`` becomes ``last-event-id``."""
        return self.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, json: object, **headers: str) -> httpx.Response:
        """Send a POST."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, json=json, headers=named)

    def start(self, workflow_name: str, payload: object = None, **options: object) -> str:
        """Record a job; return its id."""
        body = {"workflow": workflow_name, "payload": payload or {}, "options": options}
        answer = self.post("/v1/jobs", body)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def make_key(self, *scopes: str, **members: object) -> tuple[str, str]:
        """Make an API key; return its id and what opens it."""
        body = {"name": "a key of the tests", "scopes": list(scopes), **members}
        answer = self.post("/v1/keys", body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return made["id"], made["key"]

    def run(self, *, for_ms: int | None = None) -> None:
        """Let the world run until nothing is due, or for so long."""
        until_ms = None if for_ms is None else self.world.clock.now_ms() + for_ms
        asyncio.run(self.world.run(until_ms=until_ms))

    async def _app(self, scope: Message, receive: Receive, send: Send) -> None:
        scope["env"] = self.host
        await APP(scope, receive, send)

    def _log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.logs.append((level, event, dict(fields)))

    async def _pause(self, seconds: float) -> None:
        until_ms = self.world.clock.now_ms() + round(seconds * 1000)
        while await self.world.step(until_ms=until_ms):
            pass
        self.world.clock.time_ms = until_ms


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    """Assert that an answer is this problem; return its document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json()
    assert (document["status"], document["code"]) == (status, code), document
    assert document["title"]
    assert document["detail"]
    assert SECRET not in answer.text
    return document


def inner_of(value: object) -> list[object] | None:
    """Return what a JSON object or array holds; None for anything else."""
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else None
