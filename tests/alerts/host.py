"""The alerts' object on CPython: storage and an alarm that survive a crash, a receiver that may fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from durable.alerts.engine import AlertEngine
from durable.alerts.model import Observation, Reading
from durable.alerts.settings import AlertPolicy, AlertReceiver
from orchestrator.errors import HttpError, OrchestratorError
from orchestrator.ports import HttpResponse
from orchestrator.testing import Crash, MemorySql
from orchestrator.testing.faults import VirtualClock

URL = "https://hooks.example.com/alerts?key=hidden"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
MINUTE_MS = 60_000


class Delivered(msgspec.Struct, frozen=True):
    """A request that reached the receiver."""

    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def kind(self) -> object:
        return msgspec.json.decode(self.body)["type"]


class AlertHost:
    """Implements :class:`durable.alerts.engine.AlertPlatform`."""

    def __init__(
        self, policy: AlertPolicy, receiver: AlertReceiver | None = None, clock: VirtualClock | None = None
    ) -> None:
        self.policy: AlertPolicy | OrchestratorError = policy
        self.receiver = receiver or AlertReceiver(url=URL, secret=SECRET)
        self.clock = clock or VirtualClock()
        self.alarm = self
        self.http = self
        self.alarm_ms: int | None = None
        self.writes = self.crashes = 0
        self.crash_at: set[int] = set()
        self.sql = MemorySql(self._before_write)
        self.logs: list[tuple[str, str, dict[str, object]]] = []
        #: What reached the receiver, and what it does with the next requests; it takes them when the list is empty.
        self.received: list[Delivered] = []
        self.answers: list[int | str] = []
        self.boot()

    def boot(self) -> None:
        self.engine = AlertEngine(self, self._read_policy, lambda: self.receiver)

    def _read_policy(self) -> AlertPolicy:
        if isinstance(self.policy, OrchestratorError):
            raise self.policy
        return self.policy

    def set(self, at_ms: int) -> None:
        assert at_ms > self.clock.now_ms(), "an alarm in the past is dropped by workerd inside alarm()"
        self.alarm_ms = at_ms

    def clear(self) -> None:
        self.alarm_ms = None

    async def get(self) -> int | None:
        return self.alarm_ms

    async def take_back(self) -> None:
        self.alarm_ms = None

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.logs.append((level, event, dict(fields)))

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        assert method == "POST"
        self.sql.commit()
        await asyncio.sleep(0)
        self.received.append(Delivered(url, headers or {}, body or b""))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, str):
            raise HttpError("no answer", code=answer)
        return HttpResponse(answer, {}, b"")

    def see(self, values: Mapping[str, float], *missing: str) -> None:
        """Have a tick of the platform measure the depth of queues; one that dies is repeated by the next."""
        readings = [Reading(rule="queue_depth", subject=name, value=value) for name, value in values.items()]
        for _ in range(2):
            try:
                self.engine.observe(Observation(readings=readings, missing=list(missing)))
                self.sql.commit()
            except Crash:
                self.crash()
            else:
                return
        raise AssertionError("crashed twice")

    async def run(self, *, for_ms: int) -> None:
        """Run alarms for so long."""
        until_ms = self.clock.now_ms() + for_ms
        while self.alarm_ms is not None and self.alarm_ms <= until_ms:
            self.clock.time_ms = max(self.clock.time_ms, self.alarm_ms)
            self.alarm_ms = None
            try:
                await self.engine.tick()
                self.sql.commit()
            except Crash:
                self.crash()
        self.clock.time_ms = until_ms

    def crash(self) -> None:
        """Lose memory and what was not durable; the platform runs the alarm again."""
        self.sql.discard()
        self.crashes += 1
        self.boot()
        self.alarm_ms = self.clock.now_ms() + 2_000

    def _before_write(self) -> None:
        self.writes += 1
        if self.writes in self.crash_at:
            raise Crash
