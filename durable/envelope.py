"""The form of answers between objects: errors travel as data, since exceptions lose their type on the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from orchestrator import errors
from orchestrator.errors import InvalidPayloadError, OrchestratorError, RequestError

T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True):
    """An error that crossed between objects."""

    code: str
    message: str
    details: dict[str, object] = {}
    #: The class, which says more than the code where a class carries several codes.
    kind: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """An answer: a value or a fault."""

    ok: msgspec.Raw = msgspec.Raw(b"null")
    error: Fault | None = None


def text_of(value: object) -> str:
    """Return a value as JSON text for a call.

    Raises:
        InvalidPayloadError: it holds an integer that JSON of ours has no form for.
    """
    try:
        return msgspec.json.encode(value).decode()
    except OverflowError:
        raise InvalidPayloadError("An integer beyond 64 bits cannot be stored; send it as text") from None


def answer(call: Callable[[], object]) -> str:
    """Run ``call`` and wrap what it returns, or the coded error it raises."""
    try:
        value = call()
    except OrchestratorError as error:
        return _fault(error)
    return msgspec.json.encode({"ok": value}).decode()


async def answer_later(result: Awaitable[object]) -> str:
    """Return :func:`answer` of something that has to wait."""
    try:
        value = await result
    except OrchestratorError as error:
        return _fault(error)
    return msgspec.json.encode({"ok": value}).decode()


def unwrap(text: str, into: type[T]) -> T:
    """Return the value of an answer.

    Raises:
        RequestError: the object refused, with the class of its code.
        OrchestratorError: the object failed.
    """
    envelope = msgspec.json.decode(text, type=Envelope)
    if envelope.error is not None:
        raise _raised(envelope.error)
    return msgspec.json.decode(envelope.ok, type=into)


def _fault(error: OrchestratorError) -> str:
    fault = Fault(error.error_code, str(error), dict(error.details), type(error).__name__)
    return msgspec.json.encode(Envelope(error=fault)).decode()


def _raised(fault: Fault) -> OrchestratorError:
    kind = _request_errors().get(fault.kind, OrchestratorError)
    return kind(fault.message, code=fault.code, details=fault.details)


def _request_errors() -> Mapping[str, type[RequestError]]:
    kinds = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, RequestError)]
    return {kind.__name__: kind for kind in kinds}
