"""Lanes: what jobs share that may not all run at once. Policies, and what jobs and their lane say to each other."""

from __future__ import annotations

import math

import msgspec

from orchestrator.errors import DefinitionError
from orchestrator.ids import checked_name

#: The key kind that a plain ``lane_key`` names.
DEFAULT_KEY = "key"
#: What the names of the objects that keep the buckets of ``job.rate_limit`` begin with.
BUCKETS = "rate/"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A token bucket: ``count`` tokens flow in evenly per ``per_ms``, and at most ``burst`` are kept."""

    count: int
    per_ms: int = 1_000
    #: Tokens the bucket holds when nobody took any for long; ``count`` unless told otherwise.
    burst: int | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_ms < 1 or (self.burst is not None and self.burst < 1):
            raise DefinitionError("A rate has a count, a period in ms and a burst of at least 1 each")

    @property
    def capacity(self) -> int:
        """Tokens of a full bucket."""
        return self.count if self.burst is None else self.burst

    # The bucket is kept as one integer: the time at which it would be full again, in units of 1/count ms, which makes
    # every amount exact (the generic cell rate algorithm, ITU-T I.371).

    def ready_ms(self, level: int) -> int:
        """Return from when on a bucket at this level has a token, in Unix ms."""
        return math.ceil((level - (self.capacity - 1) * self.per_ms) / self.count) if level else 0

    def take(self, level: int, now_ms: int) -> int:
        """Return a bucket's level after a token was taken at ``now_ms``."""
        return max(level, now_ms * self.count) + self.per_ms

    def text(self) -> str:
        """Return the rate as people write it."""
        return f"{self.count} per {duration(self.per_ms)}"


class KeyLimit(msgspec.Struct, frozen=True):
    """What holds for each value of one kind of key, such as each organization."""

    name: str
    #: Most permits of one value at a time.
    concurrency: int | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        checked_name(self.name, what="kind of lane key")
        if self.concurrency is not None and self.concurrency < 1:
            raise DefinitionError("A key's concurrency is at least 1")


class LanePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a lane: its own and those of each kind of key, all at once.

    Jobs say their keys with ``lane_keys``; one that has no value for a kind is not limited by it.
    """

    name: str
    #: Most permits at a time.
    concurrency: int | None = None
    #: The first kind is the one whose values take turns (``fair``).
    keys: tuple[KeyLimit, ...] = ()
    rate: Rate | None = None
    #: Values of the first kind of key take turns, so that one with many jobs does not keep the others waiting.
    fair: bool = True
    #: A job that has waited this much longer goes before one with one more point of priority, in ms.
    aging_ms: int = 1_000

    def __post_init__(self) -> None:
        checked_name(self.name, what="lane name")
        if self.name.startswith(BUCKETS):
            raise DefinitionError(f"Names that begin with {BUCKETS!r} are those of buckets")
        if self.concurrency is not None and self.concurrency < 1:
            raise DefinitionError("A lane's concurrency is at least 1; pause it to stop it")
        if len({item.name for item in self.keys}) != len(self.keys):
            raise DefinitionError(f"Lane {self.name!r} names a kind of key twice")
        if self.aging_ms < 0:
            raise DefinitionError("A lane's aging_ms is not negative")


class PermitRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A job asks its lane. Asking again with the same id changes nothing."""

    permit_id: str
    job_id: str
    keys: dict[str, str] = {}
    priority: int = 0
    #: Since when the job wants to run, in Unix ms: who came first goes first.
    since_ms: int


class PermitBatch(msgspec.Struct, frozen=True):
    """What a lane is asked in one call, and the policy it is to follow from now on."""

    policy: LanePolicy
    requests: tuple[PermitRequest, ...]


class PermitAnswer(msgspec.Struct, frozen=True):
    """Where a request stands."""

    granted: bool
    #: Why not yet.
    reason: str = ""
    #: From when on a rate allows it, when that is all it waits for; in Unix ms.
    due_at_ms: int | None = None


class Release(msgspec.Struct, frozen=True):
    """A permit that is given back."""

    lane: str
    permit_id: str


class Reserve(msgspec.Struct, frozen=True):
    """A job asks for one token of a bucket that jobs share (``job.rate_limit``)."""

    bucket: str
    rate: Rate


class Reserved(msgspec.Struct, frozen=True):
    """When the token may be used, in Unix ms. ``held`` is False when none was taken: ask again then."""

    at_ms: int
    held: bool = True


class KeyUse(msgspec.Struct, frozen=True):
    """Permits that one key has out."""

    key: str
    running: int


class LaneView(msgspec.Struct, frozen=True, kw_only=True):
    """A lane as operators see it."""

    name: str
    policy: LanePolicy | None
    paused: bool
    running: int
    waiting: int
    #: The keys with most permits out.
    keys: tuple[KeyUse, ...] = ()
    #: What keeps the next job waiting.
    reasons: tuple[str, ...] = ()
    #: When a rate lets the next job start, in Unix ms.
    next_due_ms: int | None = None


def bucket_name(key: str) -> str:
    """Return the name of the object that keeps the bucket of ``job.rate_limit(key)``."""
    return BUCKETS + key


def duration(ms: int) -> str:
    """Return a time span as people read it."""
    return f"{ms} ms" if ms < 1_000 else f"{ms / 1_000:.1f} s".replace(".0 s", " s")
