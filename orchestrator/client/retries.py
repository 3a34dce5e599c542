"""When a request is sent again: a pure decision, and the loop that carries it out in any flow."""

from __future__ import annotations

import email.utils
from collections.abc import Generator
from typing import TypeVar

import msgspec

from orchestrator.client.flow import (
    Answer,
    Effect,
    Emit,
    Lost,
    Open,
    Pause,
    Reply,
    Request,
    Send,
    draw,
    problem_of,
)

#: Refusals for lack of capacity: the server says that it did not begin.
_NOT_BEGUN = frozenset({429, 503})
#: Failures that may have happened half-way.
_FAILED = frozenset({500, 502, 504})
#: Nothing that passes by itself.
_LASTING = frozenset({"no_api_key_configured", "no_secret_configured"})

Y = TypeVar("Y", bound="Effect | Emit[object]")
T = TypeVar("T")


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how soon a request is sent again."""

    #: Requests in all, the first included.
    max_attempts: int = 6
    #: Wait before the second attempt, in seconds; each wait is twice the one before.
    initial_s: float = 0.25
    #: No wait of our own is longer.
    max_s: float = 8.0
    #: A ``Retry-After`` beyond this is not waited for; the refusal is raised at once.
    max_asked_s: float = 60.0


NO_RETRIES = Retries(max_attempts=1)


def wait_s(policy: Retries, request: Request, reply: Answer | Lost, *, attempt: int, random: float) -> float | None:
    """Return how long to wait before ``request`` is sent again, or None if it is not.

    Args:
        policy: how often and how soon.
        request: what was sent.
        reply: what came of it.
        attempt: which attempt that was, 1-based.
        random: a number in [0, 1).
    """
    if attempt >= policy.max_attempts or not _may_repeat(request, reply):
        return None
    own_s = min(policy.max_s, policy.initial_s * 2 ** min(attempt - 1, 30)) * (0.5 + random / 2)
    asked_s = None if isinstance(reply, Lost) else retry_after_s(reply)
    if asked_s is None:
        return own_s
    return None if asked_s > policy.max_asked_s else max(asked_s, own_s)


def _may_repeat(request: Request, reply: Answer | Lost) -> bool:
    if isinstance(reply, Lost):
        return request.repeat == "always" or not reply.sent
    if reply.status in _NOT_BEGUN:
        return problem_of(reply).code not in _LASTING
    return reply.status in _FAILED and request.repeat == "always"


def retry_after_s(answer: Answer) -> float | None:
    """Return what a ``Retry-After`` asks for (RFC 9110 §10.2.3): seconds, or a date by the server's own clock."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        until, now = (email.utils.parsedate_to_datetime(part) for part in (text, answer.headers.get("date", "")))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


def with_retries(flow: Generator[Y, Reply, T], policy: Retries) -> Generator[Y | Effect, Reply, T]:
    """Return a flow in which every request of ``flow`` is sent again as the policy says."""
    reply: Reply = None
    try:
        while True:
            try:
                effect = flow.send(reply)
            except StopIteration as stop:
                return stop.value
            if isinstance(effect, Send | Open):
                reply = yield from _persist(effect, policy)
            else:
                reply = yield effect
    finally:
        flow.close()


def _persist(effect: Send | Open, policy: Retries) -> Generator[Effect, Reply, Reply]:
    attempt = 0
    while True:
        attempt += 1
        reply = yield effect
        assert isinstance(reply, Answer | Lost)  # noqa: S101 - narrows
        if isinstance(reply, Answer) and reply.is_success:
            return reply
        seconds = wait_s(policy, effect.request, reply, attempt=attempt, random=(yield from draw()))
        if seconds is None:
            return reply
        yield Pause(seconds)
