"""Errors that cross between objects arrive as what they were."""

from __future__ import annotations

import pytest

from durable import envelope
from orchestrator import errors
from orchestrator.errors import ConflictError, InvalidRequestError, OrchestratorError, RequestError

KINDS = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, RequestError)]


def crossed(error: OrchestratorError) -> OrchestratorError:
    """Return an error as the caller of an object gets it."""

    def fail() -> object:
        raise error

    with pytest.raises(OrchestratorError) as caught:
        envelope.unwrap(envelope.answer(fail), object)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_refusal_keeps_its_class(kind: type[RequestError]) -> None:
    arrived = crossed(kind("why", details={"n": 1}))
    assert type(arrived) is kind
    assert (str(arrived), arrived.error_code, arrived.details) == ("why", kind.code, {"n": 1})


@pytest.mark.parametrize(
    "error", [InvalidRequestError("no", code="invalid_cursor"), ConflictError("no", code="job_ended")]
)
def test_a_class_with_a_code_of_its_own_keeps_both(error: RequestError) -> None:
    arrived = crossed(error)
    assert (type(arrived), arrived.error_code) == (type(error), error.error_code)


def test_an_internal_failure_is_no_refusal() -> None:
    arrived = crossed(OrchestratorError("broken", code="schema"))
    assert (type(arrived), arrived.error_code) == (OrchestratorError, "schema")


def test_values_arrive() -> None:
    assert envelope.unwrap(envelope.answer(lambda: {"a": [1]}), dict[str, list[int]]) == {"a": [1]}
    assert envelope.unwrap(envelope.answer(lambda: None), type(None)) is None
