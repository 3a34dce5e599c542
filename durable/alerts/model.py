"""Alerts as values: what was measured, what is known, and what people are told."""

from __future__ import annotations

from typing import Literal

import msgspec

Rule = Literal["queue_depth", "error_rate", "stuck_jobs", "dead_letters"]
#: ``pending``: above its threshold, not yet for long enough; nobody was told.
Status = Literal["pending", "firing", "resolved"]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One measure at one moment. What is not read is 0."""

    rule: Rule
    #: Of which queue or lane; ``all`` where there is only one.
    subject: str = "all"
    value: float
    #: What helps to see the cause, such as the workflows that fail most.
    detail: dict[str, float] = {}

    @property
    def key(self) -> str:
        """Tells alerts apart."""
        return f"{self.rule}/{self.subject}"


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick of the platform has measured. ``missing`` are the parts that did not answer."""

    readings: list[Reading]
    missing: list[str] = []


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one rule and subject."""

    rule: Rule
    subject: str
    status: Status
    value: float
    threshold: float
    detail: dict[str, float] = {}
    #: Since when it is above its threshold, this time.
    since_ms: int
    #: Since when it is not any more, while it still fires.
    clear_since_ms: int | None = None
    fired_at_ms: int | None = None
    #: When people were last told that it fires.
    told_at_ms: int | None = None
    resolved_at_ms: int | None = None
    #: How often people were told of it, since it fired.
    notices: int = 0

    @property
    def key(self) -> str:
        """Tells alerts apart."""
        return f"{self.rule}/{self.subject}"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people are told. Its id stays the same however often it is delivered."""

    id: str
    kind: Literal["firing", "reminder", "resolved"]
    at_ms: int
    alert: Alert


class Decision(msgspec.Struct, frozen=True):
    """What is known after an observation, and what people are to be told."""

    alerts: list[Alert]
    notices: list[Notice]


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A notice on its way: how often it was tried, when it is tried next, and why it did not arrive."""

    notice: Notice
    attempts: int = 0
    due_at_ms: int | None = None
    error: str | None = None
    #: When it was given up.
    dropped_at_ms: int | None = None


class AlertsView(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts as operators see them."""

    #: When they were last looked at; old when the platform's tick does not come.
    evaluated_at_ms: int | None
    #: What did not answer then.
    missing: list[str]
    alerts: list[Alert]
    #: Notices that have not arrived.
    undelivered: list[Delivery]
    #: Why notices are not delivered at all.
    silent_because: str | None
