"""The blocking driver, and the clients on it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import wraps
from types import TracebackType
from typing import Generic, ParamSpec, Self, TypeVar, overload

import httpx

from orchestrator.client import events, jobs, operations, triggers
from orchestrator.client import keys as key_calls
from orchestrator.client.connection import Connection, answer_of, lost
from orchestrator.client.flow import Effect, Emit, Flow, Open, Pause, Read, Reply, Send, Stream
from orchestrator.client.retries import Retries, with_retries
from orchestrator.client.settings import Target, checked_url, client_target, producer_target

P = ParamSpec("P")
T = TypeVar("T")


class _Performer:
    """Performs one flow's effects; holds the stream that it has opened."""

    def __init__(self, client: httpx.Client, connection: Connection) -> None:
        self._client = client
        self._connection = connection
        self._response: httpx.Response | None = None
        self._parts: Iterator[bytes] = iter(())

    def __call__(self, effect: Effect) -> Reply:
        match effect:
            case Send(request):
                return self._fetch(self._connection.http_request(self._client, request, stream=False), stream=False)
            case Open(request):
                self.close()
                return self._fetch(self._connection.http_request(self._client, request, stream=True), stream=True)
            case Read():
                try:
                    return next(self._parts, b"")
                except httpx.HTTPError as error:
                    return lost(error, self._connection.target)
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case _:
                return self._connection.perform(effect)

    def _fetch(self, request: httpx.Request, *, stream: bool) -> Reply:
        try:
            response = self._client.send(request, stream=stream)
            if stream and response.is_success:
                self._response, self._parts = response, response.iter_bytes()
                return answer_of(response, b"")
            return answer_of(response, response.read())
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return lost(error, self._connection.target)

    def close(self) -> None:
        """Close the stream, if one is open."""
        if self._response is not None:
            self._response.close()
        self._response, self._parts = None, iter(())


class BlockingClient:
    """Runs calls, one at a time per thread. May be shared between threads; is to be closed.

    Args:
        url: the server's address.
        api_key: the key to it.
        retries: how often and how soon a request is sent again.
        timeout_s: the longest wait for an answer.
        transport: how to reach the server; for tests.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        retries: Retries | None = None,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        target = Target(checked_url(url), api_key)
        self._set_up(target, retries, timeout_s, transport)

    @classmethod
    def at(
        cls,
        target: Target,
        *,
        retries: Retries | None = None,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> Self:
        """Return a client of a server that settings name."""
        client = cls.__new__(cls)
        client._set_up(target, retries, timeout_s, transport)
        return client

    def _set_up(
        self, target: Target, retries: Retries | None, timeout_s: float, transport: httpx.BaseTransport | None
    ) -> None:
        self.target = target
        self._connection = Connection(target, retries or Retries(), timeout_s)
        self._http = httpx.Client(transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Run a call to its result."""
        perform = _Performer(self._http, self._connection)
        persistent = with_retries(flow, self._connection.retries)
        reply: Reply = None
        try:
            while True:
                reply = perform(persistent.send(reply))
        except StopIteration as stop:
            return stop.value
        finally:
            persistent.close()
            perform.close()

    def iterate(self, stream: Stream[T]) -> Iterator[T]:
        """Run a stream; yield its items as they come."""
        perform = _Performer(self._http, self._connection)
        persistent = with_retries(stream, self._connection.retries)
        reply: Reply = None
        try:
            while True:
                effect = persistent.send(reply)
                if isinstance(effect, Emit):
                    yield effect.item
                    reply = None
                else:
                    reply = perform(effect)
        except StopIteration:
            return
        finally:
            persistent.close()
            perform.close()


class call(Generic[P, T]):  # noqa: N801 - reads as a declaration
    """A method that runs a call."""

    def __init__(self, flow: Callable[P, Flow[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: None, kind: type[object]) -> Self: ...
    @overload
    def __get__(self, client: BlockingClient, kind: type[object]) -> Callable[P, T]: ...
    def __get__(self, client: BlockingClient | None, kind: type[object]) -> Self | Callable[P, T]:
        if client is None:
            return self
        flow = self._flow

        @wraps(flow)
        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.run(flow(*args, **kwargs))

        return method


class stream(Generic[P, T]):  # noqa: N801 - reads as a declaration
    """A method that runs a stream."""

    def __init__(self, flow: Callable[P, Stream[T]]) -> None:
        self._flow = flow
        self.__doc__ = flow.__doc__

    @overload
    def __get__(self, client: None, kind: type[object]) -> Self: ...
    @overload
    def __get__(self, client: BlockingClient, kind: type[object]) -> Callable[P, Iterator[T]]: ...
    def __get__(self, client: BlockingClient | None, kind: type[object]) -> Self | Callable[P, Iterator[T]]:
        if client is None:
            return self
        flow = self._flow

        @wraps(flow)
        def method(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return client.iterate(flow(*args, **kwargs))

        return method


class Producer(BlockingClient):
    """The plan's functions, behind its switch."""

    @classmethod
    def from_env(cls, *, retries: Retries | None = None, timeout_s: float = 30.0) -> Self:
        """Return a producer as ``USE_CLOUDFLARE_QUEUES`` says.

        Raises:
            ConfigurationError: a variable is missing.
        """
        return cls.at(producer_target(os.environ), retries=retries, timeout_s=timeout_s)

    trigger_ingestion_job = call(triggers.trigger_ingestion_job)
    trigger_re_ingest_job = call(triggers.trigger_re_ingest_job)
    trigger_delete_document_job = call(triggers.trigger_delete_document_job)
    trigger_delete_ingest_job = call(triggers.trigger_delete_ingest_job)
    trigger_delete_namespace_job = call(triggers.trigger_delete_namespace_job)
    trigger_delete_organization_job = call(triggers.trigger_delete_organization_job)
    trigger_meter_org_documents_job = call(triggers.trigger_meter_org_documents_job)
    trigger_meter_org_documents_jobs = call(triggers.trigger_meter_org_documents_jobs)


class Client(Producer):
    """Everything that the orchestrator's API does, the plan's functions included."""

    @classmethod
    def from_env(cls, *, retries: Retries | None = None, timeout_s: float = 30.0) -> Self:
        """Return a client of the orchestrator that ``ORCHESTRATOR_URL`` names.

        Raises:
            ConfigurationError: a variable is missing.
        """
        return cls.at(client_target(os.environ), retries=retries, timeout_s=timeout_s)

    enqueue = call(jobs.enqueue)
    enqueue_many = call(jobs.enqueue_many)
    get_job = call(events.get_job)
    get_steps = call(jobs.get_steps)
    get_history = call(events.get_history)
    stream_events = stream(events.stream_events)
    wait_for_job = call(events.wait_for_job)
    get_result = call(events.get_result)
    export = stream(jobs.export)
    list_jobs = call(jobs.list_jobs)
    search_jobs = stream(jobs.search_jobs)
    cancel = call(jobs.cancel)
    pause = call(jobs.pause)
    resume = call(jobs.resume)
    retry = call(jobs.retry)
    delete = call(jobs.delete)
    send_event = call(jobs.send_event)
    complete_token = call(jobs.complete_token)
    bulk = stream(jobs.bulk)
    dead_letters = stream(operations.dead_letters)
    redrive = call(operations.redrive)
    redrive_many = stream(operations.redrive_many)
    lanes = call(operations.lanes)
    get_lane = call(operations.get_lane)
    pause_lane = call(operations.pause_lane)
    resume_lane = call(operations.resume_lane)
    schedules = stream(operations.schedules)
    create_schedule = call(operations.create_schedule)
    get_schedule = call(operations.get_schedule)
    change_schedule = call(operations.change_schedule)
    delete_schedule = call(operations.delete_schedule)
    pause_schedule = call(operations.pause_schedule)
    resume_schedule = call(operations.resume_schedule)
    run_schedule = call(operations.run_schedule)
    backfill_schedule = call(operations.backfill_schedule)
    workflows = call(operations.workflows)
    get_alerts = call(operations.get_alerts)
    get_catalog = call(operations.get_catalog)
    rebuild_catalog = call(operations.rebuild_catalog)
    create_key = call(key_calls.create_key)
    keys = stream(key_calls.keys)
    get_current_key = call(key_calls.get_current_key)
    revoke_key = call(key_calls.revoke_key)
    audit = stream(key_calls.audit)
    metrics = call(operations.metrics)
    health = call(operations.health)
