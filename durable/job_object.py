"""``JobObject``: the Durable Object of one job. Strings of JSON in, strings of JSON out (platform.md §4.4).

Methods answer ``{"ok": …}`` or ``{"error": …}`` and do not raise: errors lose their type between objects.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.object_platform import ObjectPlatform
from durable.workflows import registry
from orchestrator.engine import JobEngine
from orchestrator.model import ChildNotice, CreateJob
from orchestrator.views import job_view, step_view


class JobObject(DurableObject):
    """One job. The constructor only remembers: a failing one would poison every later call (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        platform = ObjectPlatform(bridge.Storage(ctx), bridge.Env(env))
        self._engine_or_none: JobEngine | None = None
        self._make = lambda: JobEngine(platform, registry(), always_replay=platform.always_replay)

    @property
    def _engine(self) -> JobEngine:
        if self._engine_or_none is None:
            self._engine_or_none = self._make()
        return self._engine_or_none

    async def create(self, body: str) -> str:
        """Record a job: ``CreateJob`` in, ``Created`` out."""
        return self._answer(lambda: self._engine.create(msgspec.json.decode(body, type=CreateJob)))

    async def dispatch(self) -> str:
        """Start a queued job; the status out."""
        return self._answer(self._engine.dispatch)

    async def child_finished(self, body: str) -> str:
        """Take note of a child's end: ``ChildNotice`` in."""
        return self._answer(lambda: self._engine.child_finished(msgspec.json.decode(body, type=ChildNotice)))

    async def outcome(self, key: str) -> str:
        """How the job ended, as its parent wants it: ``ChildOutcome`` or null out."""
        self._wake()
        return self._answer(lambda: self._engine.outcome(key))

    async def cancel(self, reason: str) -> str:
        """Ask the job to stop; the status out."""
        return self._answer(lambda: self._engine.cancel(reason))

    async def view(self) -> str:
        """The job's status: ``JobView`` out. Looking at a job also mends a lost alarm."""
        self._wake()
        return self._answer(lambda: job_view(self._engine.known(), self._engine.journal))

    async def steps(self) -> str:
        """The journal's steps: a list of ``StepView`` out."""

        def answer() -> object:
            self._engine.known()
            return [step_view(row) for row in self._engine.journal.steps()]

        return self._answer(answer)

    async def events(self, after: str) -> str:
        """The history after an event number: a list of ``Event`` out."""

        def answer() -> object:
            self._engine.known()
            return self._engine.journal.events(int(after), 500)

        return self._answer(answer)

    async def alarm(self, info: object = None) -> None:
        """Do what is due."""
        await self._engine.tick()

    def _wake(self) -> None:
        if self._engine.exists():
            self._engine.wake()

    def _answer(self, call: Callable[[], object]) -> str:
        return envelope.answer(call)
