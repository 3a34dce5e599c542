"""Ports: what the engine and the steps need from the outside, named for the need.

Adapters live in ``durable/`` (Cloudflare), ``local/`` and ``tests/`` (CPython). One conformance suite per
port runs over every adapter. Nothing here imports an adapter.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, LiteralString, Protocol

import msgspec

if TYPE_CHECKING:
    from orchestrator.lane import LanePolicy, PermitAnswer, PermitRequest, Release, Reserve, Reserved
    from orchestrator.lifecycle import JobStatus
    from orchestrator.meter import Meter
    from orchestrator.model import (
        ChildNotice,
        ChildOutcome,
        Created,
        CreateJob,
        DeletedJob,
        JobSummary,
        ParentRef,
        StopJob,
    )
    from orchestrator.operations import Token

#: What a Durable Object's SQLite stores faithfully (platform.md §1.2). ``bool`` and integers beyond 2**53 are refused.
SqlValue = str | int | float | bytes | None
SqlRow = tuple[SqlValue, ...]


class Clock(Protocol):
    """The wall clock. Deployed Workers freeze it during CPU work; only I/O advances it (platform.md §1.6)."""

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        ...


class Entropy(Protocol):
    """Randomness that may differ between two runs of the same code."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def random_bytes(self, size: int) -> bytes:
        """Return ``size`` unpredictable bytes."""
        ...


class Sql(Protocol):
    """The object's own SQLite: synchronous, and atomic between two awaits (platform.md §1.3)."""

    @property
    def rows_written(self) -> int:
        """Rows written through this handle so far, as the platform bills them."""
        ...

    @property
    def rows_read(self) -> int:
        """Rows read through this handle so far, as the platform bills them."""
        ...

    @property
    def size_bytes(self) -> int:
        """What the database takes."""
        ...

    def execute(self, query: LiteralString, *params: SqlValue) -> list[SqlRow]:
        """Run one constant statement and drain its cursor.

        Raises:
            StorageValueError: a parameter would not be stored faithfully.
        """
        ...


class Alarm(Protocol):
    """The object's single wake-up call."""

    def set(self, at_ms: int) -> None:
        """Arm the alarm, replacing an earlier setting, in the transaction of the writes around it."""
        ...

    def clear(self) -> None:
        """Disarm the alarm."""
        ...

    async def get(self) -> int | None:
        """Return what the alarm is set to; None while its handler runs, unless it was set again."""
        ...

    async def take_back(self) -> None:
        """Disarm the alarm, and wait until that is durable."""
        ...


class BlobInfo(msgspec.Struct, frozen=True):
    """Size and version of a stored object."""

    size: int
    etag: str


class Blobs(Protocol):
    """Object storage: R2 when deployed and in the local runtime, a folder in pure tests."""

    async def head(self, key: str) -> BlobInfo | None:
        """Return the object's size in bytes and its version, or None when there is no such object."""
        ...

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes | None:
        """Return the bytes of ``[offset, offset + length)``, shorter at the object's end, or None when absent."""
        ...

    async def put(self, key: str, data: bytes) -> None:
        """Store ``data`` under ``key``, replacing what was there."""
        ...

    async def put_stream(self, key: str, pieces: AsyncIterable[bytes], size: int) -> None:
        """Store an object of ``size`` bytes piece by piece, replacing what was there.

        One piece is in memory at a time. An error on the way, in the pieces too, leaves what was there before.

        Raises:
            ValueError: the pieces make fewer or more bytes.
        """
        ...

    async def delete(self, *keys: str) -> None:
        """Remove the objects; absent ones are no error. Raises when one of them may still be there."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 1000) -> list[str]:
        """Return up to ``limit`` keys that start with ``prefix`` and sort after ``after``, in order."""
        ...


class HttpResponse(msgspec.Struct, frozen=True):
    """An HTTP answer read whole; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """Outgoing HTTP."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_ms: int = 30_000,
        max_body_bytes: int = 16_000_000,
    ) -> HttpResponse:
        """Send a request and read the answer, whatever its status.

        Raises:
            HttpError: no whole answer arrived (code ``http_unreachable``, ``http_timeout``), or its body is larger
                than ``max_body_bytes`` (code ``http_body_too_large``). ``details["status"]`` is there when the answer
                had begun.
        """
        ...


#: A database row, read by column name or by position.
class Record(Protocol):
    """One row of a query's result, asyncpg's vocabulary."""

    def __getitem__(self, key: str | int) -> object:
        """Return the value of a column by name or position."""
        ...

    def keys(self) -> Sequence[str]:
        """Return the column names in order."""
        ...


class Connection(Protocol):
    """Queries on one connection; ``$1`` parameters."""

    async def fetch(self, query: LiteralString, *args: object) -> list[Record]:
        """Return every row."""
        ...

    async def fetchrow(self, query: LiteralString, *args: object) -> Record | None:
        """Return the first row, or None."""
        ...

    async def execute(self, query: LiteralString, *args: object) -> str:
        """Run a statement; return the command tag, such as ``UPDATE 3``."""
        ...


class Database(Connection, Protocol):
    """Postgres. Connects on first use; one connection, whose operations never overlap."""

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """Open a transaction: commits at the end of the block, rolls back when the block raises."""
        ...

    async def close(self) -> None:
        """Close the connection, if one was opened. The next use opens another."""
        ...


class Resources(Protocol):
    """What one slice holds open: the adapters its steps use, and the database connection."""

    @property
    def services(self) -> object:
        """The adapters for ``steps``, which narrows them."""
        ...

    def database(self) -> Database:
        """Return the slice's database; it connects on first use."""
        ...

    def blobs(self) -> Blobs:
        """Return the object storage for large values."""
        ...

    async def close(self) -> None:
        """Release everything at the end of the slice."""
        ...


class Network(Protocol):
    """What a job says to the rest of the orchestrator. Every call may be repeated."""

    async def create(self, request: CreateJob) -> Created:
        """Create a job in its own object, or find it there."""
        ...

    async def finished(self, parent_id: str, notice: ChildNotice) -> None:
        """Tell a parent how one of its children ended."""
        ...

    async def inspect(self, job_id: str, key: str) -> ChildOutcome | None:
        """Return how a child ended, or None while it has not."""
        ...

    async def watch(self, job_id: str, watcher: ParentRef) -> ChildOutcome | None:
        """Return how a job ended, or have it tell ``watcher`` when it does.

        Raises:
            UnknownJobError: there is no such job.
        """
        ...

    async def cancel(self, job_id: str, reason: str) -> JobStatus | None:
        """Ask a job to stop; return its status now, or None when nothing is there to stop."""
        ...

    async def stop(self, job_id: str, request: StopJob) -> ChildOutcome | None:
        """Ask a job to stop; return how it ended, or have it tell ``request.watcher`` when it does.

        Raises:
            UnknownJobError: there is no such job.
        """
        ...

    async def enqueue(self, queue: str, job_id: str) -> None:
        """Send a job's id to its queue."""
        ...

    async def publish(self, summary: JobSummary) -> None:
        """Bring the catalog up to date."""
        ...

    async def forget(self, job: DeletedJob) -> None:
        """Take a deleted job off the catalog."""
        ...

    async def alive(self, job_id: str) -> bool:
        """Tell whether a job's object has stored anything, if only its place in the row of its key's jobs."""
        ...

    async def request_permit(self, lane: LanePolicy, request: PermitRequest) -> PermitAnswer:
        """Ask a lane for a permit; granted later, the lane hands it to the job itself."""
        ...

    async def release_permit(self, release: Release) -> None:
        """Give a permit back, or take a request back."""
        ...

    async def explain_permit(self, lane: str, permit_id: str) -> PermitAnswer | None:
        """Return where a request stands, or None when the lane does not know it."""
        ...

    async def reserve(self, request: Reserve) -> Reserved:
        """Take the next token of a shared bucket."""
        ...


class Platform(Protocol):
    """The ports of one job's engine."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Randomness."""
        ...

    @property
    def sql(self) -> Sql:
        """The object's SQLite."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

    @property
    def meter(self) -> Meter:
        """What the object uses; adapters count into it."""
        ...

    @property
    def network(self) -> Network:
        """The other objects and the queues."""
        ...

    def make_token(self, job_id: str, key: str, expires_at_ms: int) -> Token:
        """Make the token of a wait, signed with the deployment's secret."""
        ...

    def resources(self) -> Resources:
        """Open what a slice needs; cheap until used."""
        ...

    async def sync(self) -> None:
        """Wait until every write so far is durable."""
        ...

    async def wipe(self) -> None:
        """Delete everything the object has stored, its alarm included, at once."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line; never payloads or secrets."""
        ...
