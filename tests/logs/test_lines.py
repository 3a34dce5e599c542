"""Log lines: one JSON object each, with job, step and attempt, and never a payload, a secret or an error's own text."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from durable.log_lines import MAX_TEXT_CHARS, line_of
from local.bundle import ROOT
from orchestrator import JobContext, RetryableError, RetryPolicy, WorkflowOptions, current_step, workflow
from orchestrator.errors import InvalidRequestError, OrchestratorError
from orchestrator.logs import describe
from orchestrator.model import RetryJob
from orchestrator.testing import World

SECRET = "4711-the-customers-own"


class Private(BaseModel):
    value: str


async def leak(value: str) -> None:
    current_step().log("about to fail", attempt=99, job_id="run_forged", size=len(value))
    raise RetryableError(f"could not take {value}", code="not_taken")


async def crash(value: str) -> None:
    raise KeyError(value)


@workflow("leaking", options=WorkflowOptions(retry=RetryPolicy(max_attempts=2, initial_interval_ms=10, jitter="none")))
async def leaking(job: JobContext, payload: Private) -> None:
    await job.step("take", leak, payload.value)


@workflow("crashing", options=WorkflowOptions(retry=RetryPolicy(max_attempts=1)))
async def crashing(job: JobContext, payload: Private) -> None:
    await job.step("crash", crash, payload.value)


@workflow("broken-code")
async def broken_code(job: JobContext, payload: Private) -> None:
    raise ValueError(payload.value)


@workflow("smooth")
async def smooth(job: JobContext, payload: Private) -> str:
    job.log("in the history only", value=payload.value)
    return payload.value


def played(name: str) -> World:
    world = World(leaking, crashing, broken_code, smooth)
    job_id = world.start(name, {"value": SECRET})
    asyncio.run(world.run())
    if name == "leaking":
        world.call(job_id, lambda engine: engine.retry(RetryJob()))
        asyncio.run(world.run())
    return world


@pytest.mark.parametrize("name", ["leaking", "crashing", "broken-code", "smooth"])
def test_no_line_repeats_a_payload_and_each_names_its_job(name: str) -> None:
    world = played(name)
    assert SECRET not in repr(world.logs)
    (job_id,) = world.objects
    assert {(fields["job_id"], fields["workflow"]) for _, _, fields in world.logs} == {(job_id, name)}


def test_a_jobs_life_is_logged_with_steps_attempts_and_codes() -> None:
    lines = [(level, event, fields) for level, event, fields in played("leaking").logs]
    told = [(event, fields.get("step"), fields.get("attempt"), fields.get("error")) for _, event, fields in lines]
    once = [
        ("step.log", "take", 1, None),
        ("step.retrying", "take", 1, "not_taken"),
        ("step.log", "take", 2, None),
        ("step.failed", "take", 2, "not_taken"),
        ("job.failed", None, None, None),
    ]
    again = ("job.retried", None, None, None)
    started = ("job.started", None, None, None)
    assert told == [("job.created", None, None, None), started, *once, again, started, *once]
    end = next(fields for _, event, fields in lines if event == "job.failed")
    assert (end["slices"], end["crashes"]) == (2, 0)
    assert isinstance(end["run_ms"], int)
    spoken = next(fields for _, event, fields in lines if event == "step.log")
    assert (spoken["message"], spoken["size"]) == ("about to fail", len(SECRET))


def test_finished_steps_are_not_logged() -> None:
    assert [event for _, event, _ in played("smooth").logs] == ["job.created", "job.started", "job.completed"]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_error_is_named_by_its_code_or_by_its_type_and_place() -> None:
    assert describe(RetryableError(SECRET, code="object_unreachable")) == "object_unreachable"
    assert describe(InvalidRequestError(SECRET)) == "invalid_request"
    assert describe(raised(KeyError(SECRET))).startswith("KeyError at logs/test_lines.py:")
    assert describe(raised(OrchestratorError(SECRET))).startswith("OrchestratorError at logs/test_lines.py:")
    assert describe(ValueError(SECRET)) == "ValueError"


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=600), st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=10), st.one_of(json_values, st.builds(object)), max_size=5))
def test_whatever_the_fields_are_a_line_is_one_bounded_json_object(fields: dict[str, object]) -> None:
    line = line_of("info", "some.event", fields)
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["event"]) == ("info", "some.event")
    assert set(found) == {*fields, "level", "event"}
    assert len(line) < 200 + 7 * (MAX_TEXT_CHARS + 20) * max(1, len(fields))


@pytest.mark.parametrize("name", ["payload", "token", "Authorization", "API_KEY", "secret"])
def test_what_is_private_by_its_name_is_left_out(name: str) -> None:
    assert SECRET not in line_of("info", "x", {name: SECRET, "job_id": "run_1"})


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        name = node.func if isinstance(node, ast.Call) else None
        called = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
        if isinstance(node, ast.Call) and called in {"log", "_log", "write_log"}:
            yield node


def test_no_log_call_quotes_an_error() -> None:
    """An error's text may repeat a payload; `describe` names it."""
    paths = [path for package in ("orchestrator", "durable") for path in (ROOT / package).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in paths
        if not {"cli", "client", "testing"} & set(path.parts)
        for call in calls(path)
        for node in ast.walk(call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"repr", "str"}
    ]
    assert found == []
