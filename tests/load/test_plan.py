"""The load test's judgement: a run in which anything is lost, doubled or mislabelled does not pass."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from local.load.plan import Findings, FoundJob, Plan, faults, most_at_once, plan

PLAN = plan(together=3, burst=20, fail_every=5, seed=7)
Change = Callable[[Findings], Findings]


def perfect(wish: Plan = PLAN) -> Findings:
    """What a run without a fault leaves behind."""
    jobs = {
        job.number: FoundJob(
            id=f"run_{job.number}",
            status="failed" if job.fails else "completed",
            result=None if job.fails else job.number,
            code="meant_to_fail" if job.fails else None,
            started_ms=10 if job in wish.together else 100,
            finished_ms=90 if job in wish.together else 200,
        )
        for job in wish.jobs
    }
    effects = {f"{job.number}/first": 1 for job in wish.jobs}
    effects |= {f"{job.number}/second": 1 for job in wish.jobs if not job.fails}
    failing = [f"run_{job.number}" for job in wish.jobs if job.fails]
    return Findings(
        jobs=jobs,
        effects=effects,
        attempts={},
        listed=[job.id for job in jobs.values()],
        dead_jobs=failing,
        dead_messages=["malformed_message: x", "unknown_job: y", "malformed_message: z"],
        ended={"completed": len(jobs) - len(failing), "failed": len(failing), "cancelled": 0, "expired": 0},
    )


def judged(found: Findings) -> list[str]:
    return faults(PLAN, found, malformed=2, unknown=1)


def test_a_perfect_run_passes() -> None:
    assert judged(perfect()) == []


def job(number: int, **changes: object) -> Change:
    """Change one job of the findings."""

    def change(found: Findings) -> Findings:
        jobs = dict(found.jobs)
        jobs[number] = msgspec.structs.replace(jobs[number], **changes)
        return msgspec.structs.replace(found, jobs=jobs)

    return change


def effect(key: str, count: int) -> Change:
    return lambda found: msgspec.structs.replace(found, effects={**found.effects, key: count})


def member(name: str, change: Callable[[list[str]], list[str]]) -> Change:
    return lambda found: msgspec.structs.replace(found, **{name: change(list(getattr(found, name)))})


def nobody(found: Findings) -> Findings:
    return msgspec.structs.replace(found, jobs={})


def uncounted(found: Findings) -> Findings:
    return msgspec.structs.replace(found, ended={**found.ended, "failed": 0})


FAILING = next(item.number for item in PLAN.jobs if item.fails)
FINE = next(item.number for item in PLAN.burst if not item.fails)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nobody, "was not accepted"),
        (job(FINE, status="running", result=None), "is running"),
        (job(FINE, result=99), "should be completed"),
        (job(FINE, status="failed", code="http_500", result=None), "http_500"),
        (job(FAILING, status="completed", result=FAILING, code=None), "should be failed"),
        (job(FAILING, code="step_timeout"), "step_timeout"),
        (effect(f"{FINE}/first", 0), "0 times"),
        (effect(f"{FINE}/second", 2), "2 times"),
        (effect(f"{FAILING}/second", 1), "should 0 times"),
        (member("listed", lambda ids: ids[1:]), "1 jobs too few"),
        (member("listed", lambda ids: [*ids, "run_x"]), "1 jobs too many"),
        (member("listed", lambda ids: [*ids, ids[0]]), "1 jobs twice"),
        (member("dead_jobs", lambda ids: ids[1:]), "the dead letters name 1 jobs too few"),
        (member("dead_jobs", lambda ids: [*ids, f"run_{FINE}"]), "the dead letters name 1 jobs too many"),
        (member("dead_messages", lambda causes: causes[1:]), "dead messages are"),
        (member("dead_messages", lambda causes: [*causes, "delivery_exhausted: x"]), "delivery_exhausted"),
        (uncounted, "the metrics count"),
        (job(0, started_ms=90, finished_ms=95), "at most 2 of 3"),
    ],
)  # fmt: skip
def test_each_fault_is_found_and_named(change: Change, words: str) -> None:
    assert any(words in fault for fault in judged(change(perfect()))), judged(change(perfect()))


def test_an_effect_may_happen_as_often_as_its_step_was_attempted() -> None:
    def found(count: int, attempts: int) -> list[str]:
        again = effect(f"{FINE}/second", count)(perfect())
        return judged(msgspec.structs.replace(again, attempts={f"{FINE}/second": attempts}))

    assert found(2, 2) == found(1, 2) == []
    assert "happened 3 times" in found(3, 2)[0]
    assert "happened 0 times" in found(0, 2)[0]


def test_jobs_at_once_are_those_whose_times_overlap() -> None:
    def span(started_ms: int | None, finished_ms: int | None) -> FoundJob:
        return FoundJob(id="run_1", status="completed", started_ms=started_ms, finished_ms=finished_ms)

    assert most_at_once([]) == 0
    assert most_at_once([span(1, 5), span(5, 9), span(None, None)]) == 1
    assert most_at_once([span(1, 6), span(5, 9), span(2, 3), span(4, 7)]) == 3


def test_a_seed_is_a_plan() -> None:
    again = plan(together=3, burst=20, fail_every=5, seed=7)
    assert again == PLAN
    assert again != plan(together=3, burst=20, fail_every=5, seed=8)
    assert sum(item.fails for item in again.burst) == 4
    assert not any(item.fails for item in again.together)
    assert len({item.key for item in again.jobs}) == 23
