"""Queue consumers: duplicates, disorder, nonsense and silence are harmless."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.consumer import RETRY_MAX_S, RETRY_S, consume, consume_dead, job_id_of, retry_delay_s
from orchestrator.errors import OrchestratorError, RetryableError
from orchestrator.lifecycle import JobStatus
from orchestrator.model import CreateJob, DeadLetter
from orchestrator.testing import World
from steps.diagnostics import diagnostic_echo

QUEUE = "orchestrator-default-queue"


class Sent:
    """A message, and what became of it."""

    def __init__(self, body: object, *, attempts: int = 1, message_id: str = "m1") -> None:
        self.id = message_id
        self.attempts = attempts
        self.body_json = body if isinstance(body, str) else json.dumps(body)
        self.fate: list[str] = []

    def ack(self) -> None:
        self.fate.append("ack")

    def retry(self, delay_s: int) -> None:
        self.fate.append(f"retry {delay_s}")


class Port:
    """A world of jobs, and a catalog that only remembers dead letters."""

    def __init__(self) -> None:
        self.world = World(diagnostic_echo)
        self.letters: dict[str, DeadLetter] = {}
        self.failures: list[Exception] = []
        self.letter_failures: list[Exception] = []
        self.dispatched: list[str] = []
        self.logs: list[str] = []

    async def dispatch(self, job_id: str) -> JobStatus:
        self.dispatched.append(job_id)
        if self.failures:
            raise self.failures.pop(0)
        return self.world.call(job_id, lambda engine: engine.dispatch())

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        if self.letter_failures:
            raise self.letter_failures.pop(0)
        self.letters.setdefault(letter.id, letter)

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        self.logs.append(event)

    def create(self, number: int) -> str:
        job_id = f"run_{number:026d}"
        request = CreateJob(job_id=job_id, workflow="diagnostic-echo", payload={"steps": 1})
        self.world.call(job_id, lambda engine: engine.create(request))
        return job_id

    def consume(self, *messages: Sent) -> None:
        asyncio.run(consume(QUEUE, messages, self, self.world.clock))

    def bury(self, *messages: Sent) -> None:
        asyncio.run(consume_dead(messages, self, self.world.clock))


@pytest.fixture
def port() -> Port:
    return Port()


def test_a_message_starts_its_job(port: Port) -> None:
    message = Sent({"id": port.create(1)})
    port.consume(message)
    assert message.fate == ["ack"]
    asyncio.run(port.world.run())
    assert port.world.view("run_" + "0" * 25 + "1").result == {"steps": 1, "total": 1}


@given(st.permutations([1, 1, 2, 2, 2, 3]), st.lists(st.booleans(), min_size=6, max_size=6))
@settings(max_examples=40)
def test_duplicates_in_any_order_run_each_job_once(order: list[int], run_between: list[bool]) -> None:
    port = Port()
    for number in {1, 2, 3}:
        port.create(number)
    for number, run in zip(order, run_between, strict=True):
        message = Sent({"id": f"run_{number:026d}"})
        port.consume(message)
        assert message.fate == ["ack"]
        if run:
            asyncio.run(port.world.run())
    asyncio.run(port.world.run())
    views = [port.world.view(f"run_{number:026d}") for number in (1, 2, 3)]
    assert [(view.status, view.slices) for view in views] == [(JobStatus.COMPLETED, 1)] * 3
    assert port.letters == {}


@pytest.mark.parametrize(
    "body",
    ["", "not json", "null", "3", "[]", "{}", '{"id": 3}', '{"id": "x"}', '{"id": "run_"}', "undefined", "[" * 5_000],
)
def test_nonsense_is_kept_as_a_dead_letter(port: Port, body: str) -> None:
    message = Sent(body)
    port.consume(message)
    port.consume(Sent(body))
    assert message.fate == ["ack"]
    (letter,) = port.letters.values()
    assert (letter.id, letter.kind, letter.job_id) == ("message:m1", "message", None)
    assert letter.cause.startswith("malformed_message")
    assert letter.detail == {"message_id": "m1", "attempts": 1, "body": body[:2_000]}
    assert port.dispatched == []


def test_a_job_that_does_not_exist_is_kept_as_a_dead_letter(port: Port) -> None:
    message = Sent({"id": "run_" + "0" * 26})
    port.consume(message)
    assert message.fate == ["ack"]
    (letter,) = port.letters.values()
    assert (letter.job_id, letter.cause.partition(":")[0]) == ("run_" + "0" * 26, "unknown_job")


@pytest.mark.parametrize(
    "error", [RetryableError("later", code="object_overloaded"), OrchestratorError("odd"), RuntimeError("bug")]
)
def test_a_failure_means_once_more_later(port: Port, error: Exception) -> None:
    port.failures = [error]
    message = Sent({"id": port.create(1)}, attempts=3)
    port.consume(message)
    assert message.fate == [f"retry {retry_delay_s(3)}"]
    assert port.letters == {}


def test_one_failure_leaves_the_rest_of_the_batch_alone(port: Port) -> None:
    port.failures = [RuntimeError("the first one only")]
    messages = [Sent({"id": port.create(number)}, message_id=f"m{number}") for number in range(1, 30)]
    messages.append(Sent("nonsense", message_id="m30"))
    port.consume(*messages)
    assert [message.fate for message in messages] == [["retry 2"], *([["ack"]] * 29)]


def test_a_dead_letter_that_cannot_be_kept_is_not_acknowledged(port: Port) -> None:
    port.letter_failures = [RetryableError("the catalog is away")]
    message = Sent("nonsense")
    port.consume(message)
    assert message.fate == ["retry 2"]
    port.consume(message)
    assert message.fate == ["retry 2", "ack"]
    assert len(port.letters) == 1


def test_an_empty_batch(port: Port) -> None:
    port.consume()
    port.bury()


def test_what_a_queue_gave_up_on_is_recorded_and_its_job_started(port: Port) -> None:
    job_id = port.create(1)
    message = Sent({"id": job_id}, attempts=1)
    port.bury(message)
    assert message.fate == ["ack"]
    (letter,) = port.letters.values()
    assert letter.job_id == job_id
    assert letter.cause.startswith("delivery_exhausted")
    assert "running" in letter.cause
    asyncio.run(port.world.run())
    assert port.world.view(job_id).status is JobStatus.COMPLETED


def test_a_job_that_still_does_not_answer_is_recorded_and_tried_again(port: Port) -> None:
    port.failures = [RetryableError("later", code="object_overloaded")]
    message = Sent({"id": port.create(1)})
    port.bury(message)
    assert message.fate == [f"retry {RETRY_S}"]
    (letter,) = port.letters.values()
    assert "object_overloaded" in letter.cause
    port.bury(message)
    assert message.fate[-1] == "ack"
    assert len(port.letters) == 1


@pytest.mark.parametrize("body", ["nonsense", {"id": "run_" + "0" * 26}])
def test_dead_nonsense_is_recorded_once(port: Port, body: object) -> None:
    for _ in range(2):
        message = Sent(body)
        port.bury(message)
        assert message.fate == ["ack"]
    assert len(port.letters) == 1


def test_the_pause_grows_to_a_bound() -> None:
    pauses = [retry_delay_s(attempt) for attempt in range(101)]
    assert pauses[1:4] == [2, 4, 8]
    assert pauses == sorted(pauses)
    assert pauses[-1] == RETRY_MAX_S


@given(st.text())
def test_reading_a_message_never_fails(text: str) -> None:
    assert job_id_of(text) is None
