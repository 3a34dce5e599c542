"""``make load``: many jobs on the local stack at once. None is lost or doubled; only those meant to fail do."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from local.bundle import ROOT
from local.load.counter import Counter
from local.load.plan import SHOWN, Findings, FoundJob, Plan, faults, most_at_once, plan
from local.load.run import Caller, timed
from local.options import PACKAGES
from local.process import LocalStack, StackError
from orchestrator.client import ClientError

HERE = Path(__file__).parent
#: Messages that name no job, and messages in the dead-letter queue whose jobs never were.
MALFORMED, UNKNOWN = 3, 2


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has measured, and what is wrong."""

    together: int
    burst: int
    meant_to_fail: int
    most_at_once: int
    completed: int
    failed: int
    dead_letters: int
    dead_messages: int
    repeated: int
    crashes: int
    #: Requests to the counter that were sent again, since their answer had not come in time.
    sent_again: int
    accept_burst_s: float
    total_s: float
    jobs_per_s: float
    #: Of the burst: from when a job was recorded until it began, and until it had ended.
    wait_ms_p50: int
    wait_ms_p95: int
    end_ms_p50: int
    end_ms_p95: int
    faults: list[str]


def arguments(text: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.load", description=__doc__)
    parser.add_argument("--together", type=int, default=150, help="jobs under way at the same time")
    parser.add_argument("--burst", type=int, default=1_000, help="jobs recorded by one request, at most 1,000")
    parser.add_argument("--fail-every", type=int, default=20, help="one job of the burst in so many fails")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds that anything may take")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(text)


def run(wish: Plan, timeout_s: float, state: Path) -> Report:
    """Play a plan on a stack of its own.

    Raises:
        StackError: the stack did not start.
        TimeoutError: the jobs did not end in time.
    """
    packages = [item for path in (*PACKAGES, HERE / "load_worker") for item in ("--package", str(path))]
    options = ["--main", "load_worker.worker", "--no-services", "--config", str(ROOT / "wrangler.toml"), *packages]
    with LocalStack(state, arguments=options) as stack, Counter() as counter:
        caller = Caller(stack, counter.url, timeout_s)
        try:
            found, accept_s, total_s = _play(caller, wish, counter)
            effects = counter.counts()
            findings = Findings(
                jobs=found,
                effects=effects,
                attempts=caller.attempts({number: job.id for number, job in found.items()}, effects),
                listed=caller.listed(),
                dead_jobs=[letter.job_id or "" for letter in caller.letters("job")],
                dead_messages=[letter.cause for letter in caller.letters("message")],
                ended=caller.ended(),
            )
        finally:
            caller.close()
    return report_of(wish, findings, accept_s, total_s)


def _play(caller: Caller, wish: Plan, counter: Counter) -> tuple[dict[int, FoundJob], float, float]:
    """Start everything and wait for its end; return the jobs, and how long the burst and all of it took."""

    def play() -> tuple[dict[int, str], float]:
        ids = caller.start(wish.together, mode="direct")
        burst, accept_s = timed(lambda: caller.start(wish.burst, mode="queue"))
        ids |= burst
        caller.release(wish.together, ids, counter.counts)
        caller.repeat([job for job in wish.repeated if job.number in ids], ids)
        caller.spoil(MALFORMED, UNKNOWN)
        caller.wait_for(wish, ids.values())
        return ids, accept_s

    (ids, accept_s), total_s = timed(play)
    return caller.found(ids), accept_s, total_s


def report_of(wish: Plan, found: Findings, accept_s: float, total_s: float) -> Report:
    """Return what a run comes to."""
    burst = [found.jobs[job.number] for job in wish.burst if job.number in found.jobs]
    waits = [job.started_ms - job.created_ms for job in burst if job.started_ms is not None]
    ends = [job.finished_ms - job.created_ms for job in burst if job.finished_ms is not None]
    statuses = [job.status for job in found.jobs.values()]
    return Report(
        together=len(wish.together),
        burst=len(wish.burst),
        meant_to_fail=sum(job.fails for job in wish.jobs),
        most_at_once=most_at_once(found.jobs.values()),
        completed=statuses.count("completed"),
        failed=statuses.count("failed"),
        dead_letters=len(found.dead_jobs),
        dead_messages=len(found.dead_messages),
        repeated=len(wish.repeated),
        crashes=sum(job.crashes for job in found.jobs.values()),
        sent_again=sum(count - 1 for count in found.effects.values()),
        accept_burst_s=round(accept_s, 3),
        total_s=round(total_s, 3),
        jobs_per_s=round(len(found.jobs) / total_s, 1),
        wait_ms_p50=_percentile(waits, 50),
        wait_ms_p95=_percentile(waits, 95),
        end_ms_p50=_percentile(ends, 50),
        end_ms_p95=_percentile(ends, 95),
        faults=faults(wish, found, malformed=MALFORMED, unknown=UNKNOWN),
    )


def show(console: Console, report: Report) -> None:
    """Print a report for people."""
    table = Table(title="Load", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    rows: list[tuple[str, object]] = [
        ("jobs started together", report.together),
        ("jobs of the burst, one request", report.burst),
        ("most under way at once", report.most_at_once),
        ("completed", report.completed),
        ("failed, of so many that were meant to", f"{report.failed} of {report.meant_to_fail}"),
        ("dead letters of jobs, of messages", f"{report.dead_letters}, {report.dead_messages}"),
        ("asked for and delivered twice", report.repeated),
        ("slices that died", report.crashes),
        ("requests sent again after a timeout", report.sent_again),
        ("burst accepted durably", f"{report.accept_burst_s:.2f} s"),
        ("everything ended", f"{report.total_s:.2f} s"),
        ("jobs per second", f"{report.jobs_per_s:.0f}"),
        ("burst: until it began, median and 95 %", f"{report.wait_ms_p50:,} ms, {report.wait_ms_p95:,} ms"),
        ("burst: until it ended, median and 95 %", f"{report.end_ms_p50:,} ms, {report.end_ms_p95:,} ms"),
    ]
    for name, value in rows:
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    console.print(table)
    for fault in report.faults[:SHOWN]:
        console.print(f"[red]wrong:[/red] {fault}", highlight=False)
    if len(report.faults) > SHOWN:
        console.print(f"… and {len(report.faults) - SHOWN} more")
    if not report.faults:
        console.print("[green]None lost, none doubled; the dead letters are those that were meant.[/green]")


def main(text: list[str] | None = None) -> int:
    """Run the load test; return the process's exit code."""
    given = arguments(text)
    wish = plan(
        together=given.together,
        burst=min(given.burst, 1_000),
        fail_every=given.fail_every,
        seed=given.seed,
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            report = run(wish, given.timeout, Path(folder) / "state")
    except (StackError, TimeoutError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        show(Console(), report)
    return 1 if report.faults else 0


def _percentile(values: Sequence[int], percent: int) -> int:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0


if __name__ == "__main__":
    raise SystemExit(main())
