"""The table, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from rich.console import Console
from rich.table import Table

from bench.measure import Plan
from bench.results import Machine, Results, Series

#: Aims: milliseconds per step, times faster than Workflows, drift of the cursor loop and growth of the heap.
STEP_AIM_MS = 0.2
PEER_AIM = 10.0
FLAT_AIM = 0.10
#: Jobs per second and lane.
ADMISSIONS_AIM = 2_000
#: Share of the cores that were busy before the bench from which on its times say little.
BUSY_SHARE = 0.25
MIB = 1024 * 1024


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        part: the letter of the measurement.
        name: what was measured.
        unit: of value, low, high.
        value: the median, or what is derived from medians.
        low: the smallest sample; None for derived values.
        high: the largest sample, or the 99th percentile where ``name`` says so.
        samples: how many.
        ratio: beside the engine or the floor, in words.
        aim: what was to be reached, in words.
        met: whether it was.
    """

    part: str
    name: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None
    samples: int = 1
    ratio: str = ""
    aim: str = ""
    met: bool | None = None


class Report(msgspec.Struct, frozen=True):
    """A finished run."""

    machine: Machine
    plan: Plan
    duration_s: float
    rows: list[Row]
    left_out: dict[str, str]


def rows(results: Results, plan: Plan) -> list[Row]:
    """Return every line for which something was measured."""
    measured = (_steps(results, plan), _walk(results, plan), _starts(results), _documents(results, plan))
    return [row for part in (*measured, _admissions(results), _deletions(results, plan)) for row in part]


def _row(
    part: str, name: str, unit: str, series: Series, ratio: str = "", aim: str = "", met: bool | None = None
) -> Row:
    return Row(
        part=part,
        name=name,
        unit=unit,
        value=series.median,
        low=series.low,
        high=series.high,
        samples=len(series.values),
        ratio=ratio,
        aim=aim,
        met=met,
    )


def _steps(results: Results, plan: Plan) -> Iterator[Row]:
    if series := results.get("a.step"):
        name, aim = f"engine: a step of a {plan.steps:,}-step job", f"≤ {STEP_AIM_MS} ms"
        floor = _times(results.ratio("a.step", "c.python"), "the floor")
        yield _row("a", name, "ms/step", series, floor, aim, series.median <= STEP_AIM_MS)
    if series := results.get("a.waiting"):
        floor = _times(results.ratio("a.waiting", "c.python_waiting"), "its floor")
        yield _row("a", "engine: the same, each step waits once", "ms/step", series, floor)
    if series := results.get("a.rows"):
        yield _row("a", "engine: rows written", "rows/step", series, aim="≤ 3", met=series.high <= 3)
    if series := results.get("b.workflows"):
        name = f"Cloudflare Workflows, local engine, {plan.workflow_steps:,} steps"
        ratio = results.ratio("b.workflows", "a.step")
        met = None if ratio is None else ratio >= PEER_AIM
        aim = "" if ratio is None else f"≥ {PEER_AIM:.0f}x (a)"
        yield _row("b", name, "ms/step", series, _beside_engine("b.workflows", results), aim, met)
    if series := results.get("b.dbos"):
        name = f"DBOS on the embedded Postgres, {plan.dbos_steps:,} steps"
        yield _row("b", name, "ms/step", series, _beside_engine("b.dbos", results))
    for key, name in (
        ("c.python", "floor: bare Python object, an insert per step"),
        ("c.python_waiting", "floor: the same, each step waits once"),
        ("c.javascript", "floor: bare JavaScript object"),
    ):
        if series := results.get(key):
            yield _row("c", name, "ms/step", series)


def _beside_engine(peer: str, results: Results) -> str:
    named = (("a.step", "(a)"), ("a.waiting", "(a) that waits"))
    return ", ".join(filter(None, (_times(results.ratio(peer, key), name) for key, name in named)))


def _times(ratio: float | None, what: str) -> str:
    return "" if ratio is None else f"{ratio:.1f}x {what}"


def _walk(results: Results, plan: Plan) -> Iterator[Row]:
    loop = f"job.each, {plan.items:,} items by {plan.batch}"
    for key, name in (("first", f"{loop}: first tenth"), ("last", "job.each: last tenth")):
        if series := results.get(f"d.{key}"):
            yield _row("d", name, "µs/item", series)
    if series := results.get("d.drift"):
        met = series.median <= FLAT_AIM * 100
        yield _row("d", "job.each: last tenth beside the first", "%", series, aim=f"≤ {FLAT_AIM:+.0%}", met=met)
    if series := results.get("d.learned"):
        yield _row("d", "job.each: batch size left to the engine", "µs/item", series)
    if series := results.get("d.commits"):
        yield _row("d", "job.each: rows written", "rows/batch", series, aim="≤ 3", met=series.high <= 3)
    for key, name, unit in (("rows", "journal rows at the end", "rows"), ("bytes", "database at the end", "bytes")):
        few, many = results.get(f"d.{key}_few"), results.get(f"d.{key}_many")
        if few and many:
            ratio = f"{few.median:,.0f} after 10 items"
            yield _row("d", f"job.each: {name}", unit, many, ratio, "as after 10 items", many.high <= few.low)


def _starts(results: Results) -> Iterator[Row]:
    for mode in ("direct", "queue"):
        for key, name in (("answer", "enqueue call answered"), ("start", "call to first step")):
            series = results.get(f"e.{mode}_{key}")
            if series is not None:
                row = _row("e", f"{mode}: {name}, p50 and p99", "ms", series)
                yield msgspec.structs.replace(row, high=series.percentile(0.99))


def _documents(results: Results, plan: Plan) -> Iterator[Row]:
    sizes = [size for size, _ in plan.documents]
    for size in sizes:
        if series := results.get(f"f.speed_{size}"):
            chunks = f"{results.median(f'f.chunks_{size}') or 0:,.0f} chunks"
            yield _row("f", f"ingestion of {size} MB", "MB/s", series, chunks)
    before = results.median("f.heap_start")
    for size in sizes:
        series = results.get(f"f.heap_{size}")
        if series is None or before is None:
            continue
        smaller = results.median(f"f.heap_{sizes[-2]}")
        is_last = size == sizes[-1] and smaller is not None
        scaled = Series(tuple(value / MIB for value in series.values))
        aim = f"≤ {sizes[-2]} MB + {FLAT_AIM:.0%}" if is_last else ""
        met = series.high <= smaller * (1 + FLAT_AIM) if is_last and smaller else None
        ratio = f"{before / MIB:.0f} MiB before"
        yield _row("f", f"peak Wasm heap after {size} MB", "MiB", scaled, ratio, aim, met)


def _admissions(results: Results) -> Iterator[Row]:
    if series := results.get("g.admissions"):
        aim = f"≥ {ADMISSIONS_AIM:,}"
        yield _row(
            "g",
            "one lane: jobs admitted, and their permits back",
            "jobs/s",
            series,
            "",
            aim,
            series.median >= ADMISSIONS_AIM,
        )


def _deletions(results: Results, plan: Plan) -> Iterator[Row]:
    few, many = plan.deletions
    if series := results.get("h.rate_many"):
        yield _row("h", f"an ingest job of {many:,} documents deleted", "documents/s", series)
    for key, name in (("first", "deletion: first tenth"), ("last", "deletion: last tenth")):
        if series := results.get(f"h.{key}_many"):
            yield _row("h", name, "documents/s", series)
    if series := results.get("h.drift_many"):
        met = series.median >= -FLAT_AIM * 100
        yield _row("h", "deletion: last tenth beside the first", "%", series, "", f"≥ {-FLAT_AIM:+.0%}", met)
    for key, name, unit, scale in (
        ("rows", "deletion: journal rows at the end", "rows", 1),
        ("bytes", "deletion: database at the end", "bytes", 1),
        ("heap", "deletion: peak Wasm heap", "MiB", MIB),
    ):
        small, large = results.get(f"h.{key}_few"), results.get(f"h.{key}_many")
        if small and large:
            met = large.high <= small.low * (1 + FLAT_AIM)
            beside = f"{_number(small.median / scale, unit)} after {few:,}"
            scaled = Series(tuple(value / scale for value in large.values))
            yield _row("h", name, unit, scaled, beside, f"≤ {FLAT_AIM:+.0%}", met)


def show(report: Report, console: Console) -> None:
    """Print the table and what to know about it."""
    table = Table(title="Benchmarks", header_style="bold")
    for name in ("", "what", "median", "unit", "spread", "n", "beside", "aim"):
        table.add_column(name, justify="right" if name in ("median", "n") else "left", no_wrap=name != "what")
    last = ""
    for row in report.rows:
        if row.part != last and last:
            table.add_section()
        verdict = {True: " [green]met[/]", False: " [red]missed[/]", None: ""}[row.met]
        spread = (
            ""
            if row.low is None or row.high is None
            else f"{_number(row.low, row.unit)} .. {_number(row.high, row.unit)}"
        )
        cells = (row.name, f"[bold]{_number(row.value, row.unit)}[/]", row.unit, spread, str(row.samples), row.ratio)
        table.add_row(row.part if row.part != last else "", *cells, row.aim + verdict)
        last = row.part
    console.print(table)
    machine = report.machine
    console.print(
        f"{machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}; "
        f"load before {machine.load:.1f}; took {report.duration_s:.0f} s"
    )
    if machine.load > BUSY_SHARE * machine.cores:
        console.print("[yellow]The machine was busy with other things: the times are too high.[/]")
    for what, why in report.left_out.items():
        console.print(f"[yellow]left out: {what}: {why}[/]")


def _number(value: float, unit: str) -> str:
    if value >= 100 or unit in ("rows", "bytes"):
        return f"{value:,.0f}"
    if unit == "%":
        return f"{value:+.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
