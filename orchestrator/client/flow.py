"""Calls as values: what a call asks of the world, without asking it itself.

A call is a generator. It yields effects (send this request, wait so long, …), gets what came of each, and returns the
call's result; a stream also yields the items that it finds. One description serves two drivers, :mod:`.blocking` and
:mod:`.nonblocking`, and is tested without either.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from typing import Generic, Literal, TypeAlias, TypeVar

import msgspec

from orchestrator.client.answers import Problem
from orchestrator.client.errors import (
    NoAnswerError,
    UnexpectedAnswerError,
    problem_error,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound=msgspec.Struct)


class Backend(enum.Enum):
    """Where the plan's functions send their jobs."""

    ORCHESTRATOR = "orchestrator"
    TRIGGER_DEV = "trigger.dev"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request; the driver adds the server's address and its key."""

    method: str
    path: str
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: bytes | None = None
    #: When it may be sent again by itself: ``always``, because repeating it changes nothing; or only while it certainly
    #: has not taken effect (``unserved``): nobody was reached, or the server said that it did not begin.
    repeat: Literal["always", "unserved"] = "always"

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"  # bodies and headers carry payloads and keys


class Answer(msgspec.Struct, frozen=True):
    """An answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the request was served."""
        return 200 <= self.status < 300


class Lost(msgspec.Struct, frozen=True):
    """No answer came."""

    cause: str
    #: Whether the request was sent, so that it may have taken effect.
    sent: bool


class Send(msgspec.Struct, frozen=True):
    """Effect: send a request. Comes back with an :class:`Answer` or :class:`Lost`."""

    request: Request


class Open(msgspec.Struct, frozen=True):
    """Effect: send a request and keep the body of a success for :class:`Read`; one at a time."""

    request: Request


class Read(msgspec.Struct, frozen=True):
    """Effect: read the next part of what was opened. Comes back with bytes, empty at the end, or :class:`Lost`."""


class Pause(msgspec.Struct, frozen=True):
    """Effect: wait."""

    seconds: float


class Now(msgspec.Struct, frozen=True):
    """Effect: comes back with the seconds of a clock that never goes back."""


class Draw(msgspec.Struct, frozen=True):
    """Effect: comes back with a random number in [0, 1)."""


class NewKey(msgspec.Struct, frozen=True):
    """Effect: comes back with a text that nobody has drawn before."""


class WhichBackend(msgspec.Struct, frozen=True):
    """Effect: comes back with the connection's :class:`Backend`."""


class Emit(msgspec.Struct, Generic[T_co], frozen=True):
    """A stream's next item."""

    item: T_co


Effect: TypeAlias = Send | Open | Read | Pause | Now | Draw | NewKey | WhichBackend
Reply: TypeAlias = Answer | Lost | bytes | float | str | Backend | None
Flow: TypeAlias = Generator[Effect, Reply, T]
Stream: TypeAlias = Generator[Effect | Emit[T], Reply, None]


def send(request: Request) -> Flow[Answer]:
    """Send a request; return the answer of a success.

    Raises:
        ProblemError: it was refused.
        NoAnswerError: nobody answered.
    """
    return checked((yield Send(request)), request)


def ask(request: Request, kind: type[S]) -> Flow[S]:
    """Send a request; return its answer's body as a ``kind``.

    Raises:
        ProblemError: it was refused.
        NoAnswerError: nobody answered.
        UnexpectedAnswerError: the body is something else.
    """
    return decode_body((yield from send(request)).body, kind)


def pause(seconds: float) -> Flow[None]:
    """Wait."""
    yield Pause(seconds)


def now() -> Flow[float]:
    """Return the seconds of a clock that never goes back."""
    found = yield Now()
    assert isinstance(found, float)  # noqa: S101 - narrows
    return found


def draw() -> Flow[float]:
    """Return a random number in [0, 1)."""
    found = yield Draw()
    assert isinstance(found, float)  # noqa: S101 - narrows
    return found


def new_key() -> Flow[str]:
    """Return a text that nobody has drawn before."""
    found = yield NewKey()
    assert isinstance(found, str)  # noqa: S101 - narrows
    return found


def backend() -> Flow[Backend]:
    """Return where the plan's functions send their jobs."""
    found = yield WhichBackend()
    assert isinstance(found, Backend)  # noqa: S101 - narrows
    return found


def checked(reply: Reply, request: Request) -> Answer:
    """Return the answer of a success, or raise what came instead."""
    if isinstance(reply, Lost):
        raise NoAnswerError(reply.cause, maybe_done=reply.sent and request.method != "GET")
    assert isinstance(reply, Answer)  # noqa: S101 - narrows
    if not reply.is_success:
        raise problem_error(reply.status, problem_of(reply), reply.headers.get("x-request-id"))
    return reply


def decode_body(body: bytes, kind: type[S]) -> S:
    """Return what the server sent as a ``kind``.

    Raises:
        UnexpectedAnswerError: it is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnexpectedAnswerError(f"The server's answer is not a {kind.__name__}: {error}") from error


class _TriggerDevError(msgspec.Struct, frozen=True):
    error: str


def problem_of(answer: Answer) -> Problem:
    """Return the problem document of a refusal, Trigger.dev's kind included, or one that says what came instead."""
    for kind in (Problem, _TriggerDevError):
        try:
            found = msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if isinstance(found, Problem):
            return found
        return Problem(code="trigger_dev", detail=found.error, status=answer.status)
    return Problem(code="no_problem_document", detail=f"The server answered {answer.status}", status=answer.status)
