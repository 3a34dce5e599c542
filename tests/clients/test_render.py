"""What people see, to the character, and what programs get, to the byte."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from rich.console import Console, RenderableType

from orchestrator.cli import render
from orchestrator.cli.output import Output, to_json
from orchestrator.cli.watch import Pace
from orchestrator.client.answers import Cost, Event, Job, JobError, JobSummary, Progress, Step, Wait

NOW = datetime(2026, 11, 26, 12, 0, 30, tzinfo=UTC)
JOB = Job(
    id="run_01kx3m0d5v9q8w7e6r5t4y3u2z",
    workflow="re-ingest-job",
    version=1,
    status="running",
    progress=Progress(done=1_500, total=2_000, unit="documents"),
    metadata={"token": "t"},
    result=None,
    error=None,
    tags=["org_1", "job_2"],
    parent_id=None,
    created_at=NOW - timedelta(seconds=30),
    started_at=NOW - timedelta(seconds=29),
    finished_at=None,
    attempts=1,
    slices=3,
    crashes=1,
    steps=1_204,
    rows_written=2_500,
    revision=9,
    waits=[Wait(kind="children", key="documents", reason="waiting for child jobs", due_at=NOW + timedelta(minutes=2))],
    tenant="org_1",
    cost=Cost(
        rows_read=90,
        rows_written=2_500,
        requests=12,
        calls=4,
        subrequests=7,
        queue_operations=3,
        blob_writes=1,
        blob_reads=2,
        alarms_set=6,
        alarms_fired=3,
        slices=3,
        active_ms=2_500,
        storage_bytes=40_960,
        estimated_usd=0.00123,
    ),
)
ENDED = msgspec.structs.replace(
    JOB,
    status="failed",
    progress=None,
    metadata={},
    tags=[],
    tenant=None,
    crashes=0,
    waits=[],
    finished_at=NOW - timedelta(seconds=4),
    error=JobError(code="parser_failed", message="The parser said no", step="parse", attempt=3, cause="HTTP 500"),
)


def text(shown: RenderableType, width: int = 96) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    console.print(shown)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_a_job_at_work() -> None:
    assert text(render.job_panel(JOB, NOW, pace="50/s  10 s left")) == [
        "╭─ re-ingest-job ──────────────────────────────────────────────────────────────────────────────╮",
        "│ ● running  created 30 s ago · running for 29 s · 1,204 steps · 3 slices · 2,500 rows written │",
        "│ · survived 1 crash                                                                           │",
        "│ ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸            1,500 / 2,000 documents   75%  50/s  10 s left │",
        "│ waits for  children documents: waiting for child jobs, in 2 min                              │",
        "│ tags       org_1 · job_2                                                                     │",
        "│ tenant     org_1                                                                             │",
        "│ token      t                                                                                 │",
        "│ cost       $0.00123 by list prices · 2.5 s at work · 12 requests, 7 subrequests · 41 kB kept │",
        "╰───────────────────────────────────────────────────────────── run_01kx3m0d5v9q8w7e6r5t4y3u2z ─╯",
    ]


def test_a_job_that_failed() -> None:
    assert text(render.job_panel(ENDED, NOW))[1:-1] == [
        "│ ✘ failed  created 30 s ago · took 25 s · 1,204 steps · 3 slices · 2,500 rows written         │",
        "│ error  parser_failed  The parser said no  (step parse, attempt 3)                            │",
        "│        HTTP 500                                                                              │",
        "│ cost   $0.00123 by list prices · 2.5 s at work · 12 requests, 7 subrequests · 41 kB kept     │",
    ]


def test_steps_and_history() -> None:
    step = Step(
        key="documents",
        kind="each",
        status="running",
        attempt=1,
        started_at=NOW - timedelta(seconds=3),
        finished_at=None,
        due_at=None,
        error=None,
        counters={"items": 1_500, "batches": 15},
    )
    assert text(render.steps_table([step], NOW)) == [
        "step       kind  status     attempt   took",
        "documents  each  ● running        1  3.0 s  1,500 items · 15 batches",
    ]
    event = Event(id=1, at=NOW, kind="step.completed", key="load", data={"n": 1})
    assert text(render.event_line(event)) == ['12:00:30.000  step.completed  load  {"n":1}']


def test_markup_in_values_is_only_text() -> None:
    job = msgspec.structs.replace(ENDED, status="completed", error=None, result="[bold]not bold[/bold]", tags=["[red]"])
    shown = "\n".join(text(render.job_panel(job, NOW)))
    assert "[bold]not bold[/bold]" in shown
    assert "[red]" in shown


def test_no_jobs_are_said_to_be_none() -> None:
    assert text(render.jobs_table([], NOW)) == ["no jobs"]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_ids_are_never_broken(width: int) -> None:
    summary = JobSummary(
        id=JOB.id,
        workflow="a-workflow-with-a-rather-long-name",
        status="completed",
        tags=["t"] * 12,
        parent_id=None,
        tenant=None,
        created_at=NOW,
        updated_at=NOW,
        finished_at=NOW,
        error="x" * 300,
    )
    assert any(JOB.id in line for line in text(render.jobs_table([summary], NOW), width=width))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.02, "20 ms"),
        (2.345, "2.3 s"),
        (59.6, "60 s"),
        (60, "1 min"),
        (3_725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (86_400, "1 d"),
    ],
)
def test_lengths(seconds: float, words: str) -> None:
    assert render.length(timedelta(seconds=seconds)) == words


def test_the_pace_is_that_of_the_last_seconds_and_begins_anew_with_another_loop() -> None:
    pace = Pace()
    at = [(0, 0), (1, 100), (10, 1_000), (40, 1_100), (41, 1_150), (42, 3)]
    jobs = [(now, msgspec.structs.replace(JOB, progress=Progress(done, 2_000, "rows"))) for now, done in at]
    assert [pace(job, now) for now, job in jobs] == [
        "",
        "100/s  19 s left",
        "100/s  10 s left",
        "",
        "50/s  17 s left",
        "",
    ]


def test_json_is_one_line_with_the_times_of_the_api() -> None:
    line = to_json(ENDED)
    assert "\n" not in line
    assert '"created_at":"2026-11-26T12:00:00.000Z"' in line
    assert msgspec.json.decode(line, type=Job) == ENDED
    assert to_json({"at": [NOW.replace(microsecond=120_000)]}) == '{"at":["2026-11-26T12:00:30.120Z"]}'


def written(as_json: bool) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out, err, as_json=as_json)

    def lines(found: Sequence[int]) -> str:
        return f"{len(found)} found"

    output.show_all(iter([1, 2]), lines)
    output.say("only for people")
    output.fail("a_code", "It [bold]broke[/bold]", "mend it")
    return out.getvalue(), err.getvalue()


def test_people_and_programs_get_what_is_for_them() -> None:
    assert written(as_json=True) == (
        "1\n2\n",
        '{"error":{"code":"a_code","message":"It [bold]broke[/bold]","hint":"mend it"}}\n',
    )
    assert written(as_json=False) == (
        "2 found\nonly for people\n",
        "error: It [bold]broke[/bold] (a_code)\n  try: mend it\n",
    )
