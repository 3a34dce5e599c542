"""Metrics in Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final, Literal

import msgspec

from durable.tallies import BOUNDS_MS, Histogram

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "orchestrator_"

Labels = Mapping[str, str]


class Sample(msgspec.Struct, frozen=True):
    """One line: ``suffix`` follows the metric's name."""

    labels: Labels
    value: float
    suffix: str = ""


class Metric(msgspec.Struct, frozen=True):
    """A metric and its samples."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    samples: list[Sample]


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return Metric(name, "gauge", text, [Sample({}, value)])


def gauges(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """Return a gauge with labels."""
    return Metric(name, "gauge", text, [Sample(labels, value) for labels, value in samples])


def counter(name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> Metric:
    """Return a counter; its name ends with ``_total``."""
    return Metric(name, "counter", text, [Sample(labels, value) for labels, value in samples])


def histogram(name: str, text: str, samples: Iterable[tuple[Labels, Histogram]]) -> Metric:
    """Return a histogram of durations, in seconds."""
    lines: list[Sample] = []
    for labels, found in samples:
        bounds = [*(_text(bound / 1000) for bound in BOUNDS_MS), "+Inf"]
        for bound, count in zip(bounds, accumulate(found.counts), strict=True):
            lines.append(Sample({**labels, "le": bound}, count, "_bucket"))
        lines += [Sample(labels, found.sum_ms / 1000, "_sum"), Sample(labels, found.count, "_count")]
    return Metric(name, "histogram", text, lines)


def exposition(metrics: Iterable[Metric]) -> str:
    """Return metrics as text; one without samples is left out."""
    lines: list[str] = []
    for metric in metrics:
        if not metric.samples:
            continue
        name = _PREFIX + metric.name
        lines += [f"# HELP {name} {metric.text}", f"# TYPE {name} {metric.kind}"]
        lines += [f"{name}{sample.suffix}{_labels(sample.labels)} {_text(sample.value)}" for sample in metric.samples]
    return "\n".join(lines) + "\n"


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inner}}}" if inner else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
