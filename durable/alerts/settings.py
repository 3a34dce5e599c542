"""When alerts fire, and where they are told: variables and secrets of the Worker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from durable.alerts.model import Rule
from orchestrator.errors import OrchestratorError

_MINUTE_MS: Final = 60_000
#: The window of the error rate is within the minutes that the catalog keeps (``durable/ended_jobs.py``).
_MAX_WINDOW_MINUTES: Final = 180


class AlertPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Thresholds and times. A rule fires above its threshold; the plan's are the defaults.

    Attributes:
        queue_depth: ``ALERT_QUEUE_DEPTH``, jobs that wait in one queue, or in one lane.
        error_rate: ``ALERT_ERROR_RATE``, the share of failed jobs among those that completed or failed.
        stuck_jobs: ``ALERT_STUCK_JOBS``.
        dead_letters: ``ALERT_DEAD_LETTERS``, those that nobody has tried again.
        window_ms: ``ALERT_ERROR_WINDOW_MINUTES``, how far the error rate looks back.
        least_jobs: ``ALERT_ERROR_LEAST_JOBS``, fewer ended jobs say nothing about a rate.
        hold_ms: ``ALERT_HOLD_MINUTES``, a queue is deep for so long before it counts; the other rules look back anyway.
        clear_ms: ``ALERT_CLEAR_MINUTES``, an alert is over when nothing was wrong for so long.
        repeat_ms: ``ALERT_REPEAT_MINUTES``, people are told again of one that goes on.
    """

    queue_depth: float = 1_000
    error_rate: float = 0.05
    stuck_jobs: float = 0
    dead_letters: float = 0
    window_ms: int = 15 * _MINUTE_MS
    least_jobs: int = 20
    hold_ms: int = 2 * _MINUTE_MS
    clear_ms: int = 5 * _MINUTE_MS
    repeat_ms: int = 240 * _MINUTE_MS

    @classmethod
    def from_env(cls, texts: Mapping[str, str]) -> AlertPolicy:
        """Read the variables.

        Raises:
            OrchestratorError: one is no number, negative, or too large (code ``invalid_setting``).
        """
        usual = cls()
        return cls(
            queue_depth=_number(texts, "ALERT_QUEUE_DEPTH", usual.queue_depth),
            error_rate=_number(texts, "ALERT_ERROR_RATE", usual.error_rate, most=1),
            stuck_jobs=_number(texts, "ALERT_STUCK_JOBS", usual.stuck_jobs),
            dead_letters=_number(texts, "ALERT_DEAD_LETTERS", usual.dead_letters),
            window_ms=_minutes(texts, "ALERT_ERROR_WINDOW_MINUTES", usual.window_ms, most=_MAX_WINDOW_MINUTES),
            least_jobs=int(_number(texts, "ALERT_ERROR_LEAST_JOBS", usual.least_jobs)),
            hold_ms=_minutes(texts, "ALERT_HOLD_MINUTES", usual.hold_ms),
            clear_ms=_minutes(texts, "ALERT_CLEAR_MINUTES", usual.clear_ms),
            repeat_ms=_minutes(texts, "ALERT_REPEAT_MINUTES", usual.repeat_ms),
        )

    def threshold(self, rule: Rule) -> float:
        """Return the value above which a rule fires."""
        found: float = {
            "queue_depth": self.queue_depth,
            "error_rate": self.error_rate,
            "stuck_jobs": self.stuck_jobs,
            "dead_letters": self.dead_letters,
        }[rule]
        return found

    def hold_of(self, rule: Rule) -> int:
        """Return for how long a value is above its threshold before it counts, in ms."""
        return self.hold_ms if rule == "queue_depth" else 0


class AlertReceiver(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told: ``ALERT_WEBHOOK_URL``, and ``ALERT_WEBHOOK_SECRET``, which signs."""

    url: str | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return "AlertReceiver(…)"

    @classmethod
    def from_env(cls, texts: Mapping[str, str]) -> AlertReceiver:
        """Read the secrets; empty counts as unset."""
        return cls(url=texts.get("ALERT_WEBHOOK_URL") or None, secret=texts.get("ALERT_WEBHOOK_SECRET") or None)

    @property
    def silent_because(self) -> str | None:
        """Why nobody can be told, or None."""
        if self.url is None:
            return "ALERT_WEBHOOK_URL is not set"
        return "ALERT_WEBHOOK_SECRET is not set" if self.secret is None else None


def _number(texts: Mapping[str, str], name: str, usual: float, *, most: float = 1e9) -> float:
    text = texts.get(name)
    if not text:
        return usual
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= most:
        raise OrchestratorError(f"{name} is a number from 0 to {most:g}", code="invalid_setting")
    return number


def _minutes(texts: Mapping[str, str], name: str, usual_ms: int, *, most: float = 100_000) -> int:
    return round(_number(texts, name, usual_ms / _MINUTE_MS, most=most) * _MINUTE_MS)
