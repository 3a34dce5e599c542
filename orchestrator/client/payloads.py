"""What callers hand over, as JSON: plain values, dataclasses, msgspec structs, pydantic models, times and durations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, TypedDict, cast
from urllib.parse import quote

import msgspec

from orchestrator.client.answers import Problem
from orchestrator.client.errors import InvalidRequestError
from orchestrator.client.flow import Request

#: Seconds, or a ``timedelta``.
Duration: TypeAlias = float | timedelta


class Idempotency(TypedDict, total=False):
    """When two requests are one job."""

    key: str
    window: Duration
    on_ended: Literal["return", "new_if_failed", "new"]


class Budget(TypedDict, total=False):
    """How much a job may use before it is paused."""

    rows_written: int
    rows_read: int
    slices: int
    active: Duration
    calls: int
    subrequests: int
    estimated_usd: float


class Options(TypedDict, total=False):
    """Options of one job; docs/clients.md and the OpenAPI document say what each does."""

    idempotency_key: str
    idempotency: Idempotency
    retention: Duration
    delay: Duration
    run_at: datetime
    debounce: Duration
    debounce_max: Duration
    ttl: Duration
    max_duration: Duration
    priority: int
    tags: list[str]
    lane_key: str
    lane_keys: dict[str, str]
    mode: Literal["queue", "direct"]
    tenant: str
    budget: Budget


class NewJob(msgspec.Struct, frozen=True):
    """One job of a batch."""

    workflow: str
    payload: object = None
    options: Options = {}


def encode(value: object) -> bytes:
    """Return a value as JSON.

    Raises:
        TypeError: something in it has no JSON form.
    """
    return msgspec.json.encode(value, enc_hook=_encode_other)


def _encode_other(value: object) -> object:
    dump = cast("Callable[..., object] | None", getattr(value, "model_dump", None))  # a pydantic model
    if dump is not None and not isinstance(value, type):
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def wire_options(options: Options, key: str) -> dict[str, object]:
    """Return a job's options as the API takes them; ``key`` stands in when there is no idempotency key.

    Calls to be debounced share a key of the caller's: one of our own would keep them apart, so none is made up.
    """
    found = {name: wire(value) for name, value in options.items()}
    if not found.keys() & {"idempotency_key", "idempotency", "debounce"}:
        found["idempotency_key"] = key
    return found


def wire_job(workflow: str, payload: object, options: Options, key: str) -> dict[str, object]:
    """Return a job as the API takes it; no payload is an empty one."""
    body: object = {} if payload is None else payload
    return {"workflow": workflow, "payload": body, "options": wire_options(options, key)}


def wire(value: object) -> object:
    """Return a value with its durations in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {name: wire(item) for name, item in cast("Mapping[str, object]", value).items()}
    return value


def post(path: str, body: object = None, *, repeat: Literal["always", "unserved"] = "always") -> Request:
    """Return a POST request with a JSON body, or without one."""
    return with_body("POST", path, body, repeat=repeat)


def with_body(
    method: str, path: str, body: object = None, *, repeat: Literal["always", "unserved"] = "always"
) -> Request:
    """Return a request with a JSON body, or without one."""
    return Request(method=method, path=path, body=None if body is None else encode(body), repeat=repeat)


def get(path: str, **query: object) -> Request:
    """Return a GET request; members of the query that are None are left out."""
    return Request(
        method="GET", path=path, query={name: text(item) for name, item in query.items() if item is not None}
    )


def without_none(**members: object) -> dict[str, object]:
    """Return the members that are not None."""
    return {name: value for name, value in members.items() if value is not None}


def text(value: object) -> str:
    """Return a member of a query as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def path(template: str, *parts: str) -> str:
    """Return a path; what is put into it is escaped, slashes included.

    Raises:
        InvalidRequestError: a part is empty or dots, which would lead to another path.
    """
    if not all(part.strip(".") for part in parts):
        raise InvalidRequestError(422, Problem(code="invalid_request", detail=f"No id or name: {parts!r}"))
    return template.format(*(quote(part, safe="") for part in parts))
