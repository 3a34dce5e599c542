"""What Prometheus reads: its format to the letter, and the numbers behind it."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable.alerts.round import look
from durable.catalog_model import CatalogCounts, JobCount
from durable.http.operations import Measured, metrics_of
from durable.http.prometheus import exposition
from durable.tallies import Histogram, Tally, WorkflowTally
from orchestrator.errors import RetryableError
from orchestrator.lifecycle import JobStatus
from tests.http.support import Api, problem

_LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+)')
_LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Series:
    """Read the text format strictly; return each series' value."""
    assert text.endswith("\n")
    found: Series = {}
    kinds: dict[str, str] = {}
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in kinds, "one help line per metric"
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            kinds[name] = kind
            continue
        match = _LINE.fullmatch(line)
        assert match, line
        name = match[1]
        base = next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)
        assert kinds.get(name, kinds.get(base)) in {"counter", "gauge", "histogram"}, line
        labels = tuple(sorted(_LABEL.findall(match[2] or "")))
        assert (name, labels) not in found, line
        found[name, labels] = float(match[3])
    return found


def value(found: Series, name: str, **labels: str) -> float:
    return found[f"orchestrator_{name}", tuple(sorted(labels.items()))]


def measured(counts: CatalogCounts, now_ms: int = 3_500) -> Series:
    found = Measured(now_ms=now_ms, counts=counts, queues={}, lanes=[], silent_lanes=0, alerts=None)
    return parsed(exposition(metrics_of(found)))


def test_the_numbers_of_a_world(api: Api) -> None:
    for name in ("keep", "keep", "broken"):
        api.start(name)
    api.run()
    api.start("keep")
    asyncio.run(look(api.backend, api.world.clock, api.world.registry, {}))
    answer = api.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = parsed(answer.text)
    assert value(found, "jobs", workflow="keep", status="completed") == 2
    assert value(found, "jobs", workflow="broken", status="failed") == 1
    assert value(found, "jobs_ended_total", workflow="broken", outcome="failed") == 1
    assert value(found, "jobs_ended_total", workflow="keep", outcome="completed") == 2
    assert value(found, "job_run_seconds_count", workflow="keep") == 2
    assert value(found, "slices_total", workflow="keep") == 2
    assert value(found, "rows_written_total", workflow="broken") > 0
    assert value(found, "error_ratio") == pytest.approx(1 / 3)
    assert value(found, "dead_letters") == value(found, "alert_firing", alert="dead_letters", subject="all") == 1
    assert value(found, "queue_depth", queue="agentset-ingest-queue") == 0
    assert value(found, "lane_running", lane="diagnostic") == value(found, "lane_waiting", lane="diagnostic") == 0
    assert value(found, "last_tick_timestamp_seconds") == api.world.clock.now_ms() / 1000
    assert value(found, "catalog_shards_incomplete", state="unreachable") == 0


def test_what_does_not_answer_is_a_number_too(api: Api) -> None:
    api.start("keep")
    api.run()
    api.get("/metrics")
    api.backend.feeds_catalog = False
    names = api.backend.catalog.layout.names()
    api.backend.catalog.silent = {names[0]}
    api.backend.failures["alerts"] = [RetryableError("away")]
    api.backend.failures["lane"] = [RetryableError("away")]
    found = parsed(api.get("/metrics").text)
    assert value(found, "catalog_shards_incomplete", state="unreachable") == 1
    assert value(found, "alerts_unreachable") == value(found, "lanes_unreachable") == 1
    api.backend.catalog.silent = set(names)
    problem(api.get("/metrics"), 503, "catalog_incomplete")


def test_labels_are_escaped() -> None:
    counts = CatalogCounts(jobs=[JobCount('a"\\b\nc', JobStatus.QUEUED, 1)], oldest_queued_at_ms=1_000)
    found = measured(counts)
    assert value(found, "jobs", workflow=r"a\"\\b\nc", status="queued") == 1
    assert value(found, "oldest_queued_job_age_seconds") == 2.5


def test_a_clock_behind_a_jobs_makes_no_negative_age() -> None:
    assert value(measured(CatalogCounts(oldest_queued_at_ms=5_000)), "oldest_queued_job_age_seconds") == 0


counts_of = st.lists(st.integers(0, 50), min_size=12, max_size=12).map(tuple)


@given(counts_of, st.integers(0, 10**9))
def test_a_histogram_adds_up(counts: tuple[int, ...], sum_ms: int) -> None:
    tally = Tally(run=Histogram(counts, sum_ms))
    found = measured(CatalogCounts(ended=[WorkflowTally("w", tally)]))
    buckets = {
        float(dict(labels)["le"]): number
        for (name, labels), number in found.items()
        if name == "orchestrator_job_run_seconds_bucket"
    }
    ordered = [buckets[bound] for bound in sorted(buckets)]
    assert ordered == sorted(ordered)
    assert ordered[-1] == value(found, "job_run_seconds_count", workflow="w") == sum(counts)
    assert buckets[60.0] == sum(counts[:6])
    assert value(found, "job_run_seconds_sum", workflow="w") == sum_ms / 1000
