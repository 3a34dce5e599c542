"""``JobObject``: the Durable Object of one job. Strings of JSON in, strings of JSON out (platform.md §4.4).

Methods answer ``{"ok": …}`` or ``{"error": …}`` and do not raise: errors lose their type between objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from workers import DurableObject

from durable import bridge, envelope
from durable.bridge_sockets import Socket, Sockets, WatchRequest, response
from durable.http.problems import MEDIA_TYPE, problem_document
from durable.keys_backend import ObjectKeys
from durable.live_view import MAX_WATCHERS, NORMAL, POLICY, LiveView
from durable.object_platform import ObjectPlatform
from durable.watch_rights import WatchRights
from durable.workflows import registry
from orchestrator.completion import complete_token
from orchestrator.control import control, look_after, stop, take
from orchestrator.engine import JobEngine
from orchestrator.errors import UnknownJobError
from orchestrator.export import export_page
from orchestrator.lifecycle import TERMINAL
from orchestrator.model import ChildNotice, ControlJob, CreateJob, Event, ParentRef, RetryJob, StopJob
from orchestrator.views import job_owner, job_view, step_view


class JobObject(DurableObject):
    """One job. The constructor only remembers: a failing one would poison every later call (platform.md §4.5)."""

    def __init__(self, ctx: object, env: object) -> None:
        super().__init__(ctx, env)
        platform = ObjectPlatform(bridge.Storage(ctx), bridge.Env(env))
        self._meter = platform.meter
        self._resources = platform.resources
        self._engine_or_none: JobEngine | None = None
        self._announcement: asyncio.Future[None] | None = None  # a task that nobody holds may vanish
        self._make = lambda: JobEngine(platform, registry(), always_replay=platform.always_replay)
        self._sockets = Sockets(ctx)
        self._rights = WatchRights(bridge.now_ms, ObjectKeys(bridge.Env(env)).get)
        self._live = LiveView(self._sockets, self._events_after, self._why_over, self._rights)

    @property
    def _engine(self) -> JobEngine:
        if self._engine_or_none is None:
            self._engine_or_none = self._make()
            self._engine_or_none.listen(lambda kind, key, data: self._live.poke())
        return self._engine_or_none

    async def create(self, body: str) -> str:
        """Record a job: ``CreateJob`` in, ``Created`` out."""
        return self._change(lambda: self._engine.create(msgspec.json.decode(body, type=CreateJob)))

    async def dispatch(self) -> str:
        """Start a queued job for its message; the status out."""
        self._meter.requests += 1
        return await envelope.answer_later(take(self._engine))

    async def permit(self, permit_id: str) -> str:
        """Take or confirm a permit of the job's lane; whether the job has it out."""
        await self._engine.look()
        return self._answer(lambda: self._engine.permit(permit_id))

    async def child_finished(self, body: str) -> str:
        """Take note of a child's end: ``ChildNotice`` in."""
        return self._answer(lambda: self._engine.child_finished(msgspec.json.decode(body, type=ChildNotice)))

    async def outcome(self, key: str) -> str:
        """How the job ended, as its parent wants it: ``ChildOutcome`` or null out."""
        await self._wake()
        return self._answer(lambda: self._engine.outcome(key))

    async def watch(self, body: str) -> str:
        """How the job ended, or null and a notice when it does: ``ParentRef`` in, ``ChildOutcome`` or null out."""
        return self._answer(lambda: self._engine.watch(msgspec.json.decode(body, type=ParentRef)))

    async def cancel(self, reason: str) -> str:
        """Ask the job to stop; the status out."""
        return self._answer(lambda: self._engine.cancel(reason))

    async def stop(self, body: str) -> str:
        """Have the job stop, and tell when it has: ``StopJob`` in, ``ChildOutcome`` or null out."""
        return self._answer(lambda: stop(self._engine, msgspec.json.decode(body, type=StopJob)))

    async def pause(self) -> str:
        """Stop starting new work; the status out."""
        return self._answer(self._engine.pause)

    async def resume(self) -> str:
        """Go on after a pause; the status out."""
        return self._change(self._engine.resume)

    async def retry(self, body: str) -> str:
        """Run an unsuccessful job again: ``RetryJob`` in, the status out."""
        return self._change(lambda: self._engine.retry(msgspec.json.decode(body, type=RetryJob)))

    async def control(self, body: str) -> str:
        """One action, if the job's status still allows it: ``ControlJob`` in, the status out."""
        return self._change(lambda: control(self._engine, msgspec.json.decode(body, type=ControlJob)))

    async def delete(self) -> str:
        """Delete the ended job; the status it had out."""
        return self._answer(self._engine.delete)

    async def exists(self) -> str:
        """Whether anything is stored here: a boolean out."""
        return self._answer(self._engine.exists)

    async def supersede(self, generation: str) -> str:
        """Send requests with the job's key straight to a later job: its generation in."""
        return self._answer(lambda: self._engine.supersede(int(generation)))

    async def deliver_event(self, name: str, event_id: str, data: str) -> str:
        """Keep an event for the workflow: its name, an id that counts once (may be empty), and JSON data."""
        value: object = msgspec.json.decode(data)
        return self._answer(lambda: self._engine.deliver_event(name, event_id or None, value))

    async def complete_token(self, key: str, data: str) -> str:
        """Complete a token: the key that its id names, and JSON data."""
        self._meter.requests += 1
        value: object = msgspec.json.decode(data)
        return await envelope.answer_later(complete_token(self._engine, self._resources, key, value))

    async def owner(self) -> str:
        """Whose the job is: ``JobOwner`` out."""
        return self._answer(lambda: job_owner(self._engine.known()))

    async def view(self) -> str:
        """The job's status: ``JobView`` out. Looking at a job also mends a lost alarm."""
        await self._wake()
        lane = await self._engine.explain_lane()
        return self._answer(lambda: job_view(self._engine.known(), self._engine.journal, lane))

    async def summary(self) -> str:
        """What the catalog is to know of the job: ``JobSummary`` out. Looking also mends lost alarms."""
        self._meter.requests += 1
        return await envelope.answer_later(look_after(self._engine))

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
            return self._engine.journal.history.after(int(after), 500)

        return self._answer(answer)

    async def export(self, cursor: str) -> str:
        """The journal's rows after a cursor, which is empty at first: an ``ExportPage`` out."""
        return self._answer(lambda: export_page(self._engine.known(), self._engine.journal, cursor or None))

    async def alarm(self, info: object = None) -> None:
        """Do what is due."""
        await self._engine.tick()
        if not self._engine.exists():
            self._live.push()  # the watchers of a deleted job may go

    # -- the live view -----------------------------------------------------------------------------------------------

    async def fetch(self, request: Any, env: object = None, ctx: object = None) -> Any:
        """Take a request over as a WebSocket that the job's events are sent to. The Worker has let it pass."""
        if not self._live.has_room():
            document = problem_document(429, "too_many_watchers", f"A job has at most {MAX_WATCHERS} watchers")
            return response(429, msgspec.json.encode(document), {"content-type": MEDIA_TYPE})
        wanted = WatchRequest(request)
        answer = self._sockets.accept(wanted.after, self._rights.let_in(wanted.key_id))
        self._live.joined()
        return answer

    async def webSocketMessage(self, socket: Any, message: object) -> None:  # noqa: N802 - the platform's name
        """Part with a client that talks: each message would wake the object."""
        Socket(socket).close(POLICY, "this stream takes no messages but ping")

    async def webSocketClose(self, socket: Any, code: object = None) -> None:  # noqa: N802 - the platform's name
        """Answer a client's goodbye."""
        Socket(socket).close(NORMAL, "")

    def _events_after(self, after: int, limit: int) -> list[Event]:
        return self._engine.journal.history.after(after, limit) if self._engine.exists() else []

    def _why_over(self) -> str | None:
        try:
            status = self._engine.known().status
        except UnknownJobError:
            return "the job was deleted"
        return "the job has ended" if status in TERMINAL else None

    async def _wake(self) -> None:
        await self._engine.look()
        if self._engine.exists():
            self._engine.wake()

    def _change(self, call: Callable[[], object]) -> str:
        """Answer a call that changes where the job stands; the catalog hears of it, and nobody waits for that."""
        answer = self._answer(call)
        self._announcement = asyncio.ensure_future(self._engine.announce())
        return answer

    def _answer(self, call: Callable[[], object]) -> str:
        self._meter.requests += 1
        return envelope.answer(call)
