"""An object that came up empty asks the others for what it should know, page by page, until it knows it again.

Shards of the catalog ask the ledgers and the jobs, ledgers ask the shards. Each page commits with the position after
it, so a crash repeats one page. The first pass also happens to a new deployment, and finds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import LiteralString, Protocol

import msgspec

from orchestrator.columns import integer, text
from orchestrator.errors import RetryableError
from orchestrator.logs import describe
from orchestrator.ports import Alarm, Clock, Sql
from orchestrator.wakeup import Wakeup

#: A second pass follows this long after the first: while a deployment rolls out, jobs may still publish to the catalog
#: of the earlier number of shards (platform.md §1.5: minutes at most). So does another one while jobs did not answer.
AGAIN_MS = 600_000
#: A page that died with its object's memory is asked for again after this.
WATCHDOG_MS = 60_000
#: The code of a source that is being made again itself: it is asked later, and nothing is wrong.
WAITS = "ledger_recovering"

TABLE: LiteralString = """create table if not exists recovery (
    id integer primary key check (id = 1), source integer, after text, passes integer, skipped integer,
    complete integer, due_at_ms integer)"""


class Progress(msgspec.Struct, frozen=True):
    """How far an object is. ``after`` is the last id read from ``source``."""

    source: int
    after: str
    #: Passes that have ended.
    passes: int
    #: Jobs that did not answer in this pass.
    skipped: int
    #: Whether a pass has ended that skipped nobody.
    complete: bool
    due_at_ms: int | None


class Page(msgspec.Struct, frozen=True):
    """What one step has read: the position to go on from, None when that was all, and how many did not answer."""

    following: tuple[int, str] | None
    skipped: int = 0


def following(source: int, after: str | None, sources: int) -> tuple[int, str] | None:
    """Return the position after a page that ended with ``after``; None when it was the last page of the last source."""
    if after is not None:
        return source, after
    return (source + 1, "") if source + 1 < sources else None


class Recovery:
    """The row that says how far the object is.

    Args:
        sql: the object's SQLite, its tables made.
    """

    job_id = None  # for log lines: none of this is about one job

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._rests = False

    def begin(self) -> None:
        """Start from nothing, at once."""
        self._rests = False
        self._sql.execute(
            """insert or replace into recovery (id, source, after, passes, skipped, complete, due_at_ms)
            values (1, 0, '', 0, 0, 0, 0)"""
        )

    def progress(self) -> Progress:
        """Return how far the object is."""
        row = self._sql.execute("select source, after, passes, skipped, complete, due_at_ms from recovery")[0]
        due = row[5]
        return Progress(
            integer(row[0]),
            text(row[1]),
            integer(row[2]),
            integer(row[3]),
            bool(integer(row[4])),
            None if due is None else integer(due),
        )

    @property
    def complete(self) -> bool:
        """Whether the object knows everything that it should."""
        return self._rests or self.progress().complete

    def next_due_ms(self) -> int | None:
        """Return when the next page is to be read."""
        if self._rests:
            return None
        progress = self.progress()
        self._rests = progress.due_at_ms is None
        return progress.due_at_ms

    def advance(self, progress: Progress, page: Page, now_ms: int) -> None:
        """Note that a page was read, unless everything began anew meanwhile."""
        if self.progress() != progress:
            return
        skipped = progress.skipped + page.skipped
        if page.following is not None:
            source, after = page.following
            self._put(msgspec.structs.replace(progress, source=source, after=after, skipped=skipped, due_at_ms=now_ms))
            return
        again = skipped > 0 or progress.passes == 0
        done = Progress(
            source=0,
            after="",
            passes=progress.passes + 1,
            skipped=0,
            complete=progress.complete or skipped == 0,
            due_at_ms=now_ms + AGAIN_MS if again else None,
        )
        self._put(done)

    def _put(self, progress: Progress) -> None:
        self._sql.execute(
            """update recovery set source = ?, after = ?, passes = ?, skipped = ?, complete = ?, due_at_ms = ?
            where id = 1""",
            progress.source,
            progress.after,
            progress.passes,
            progress.skipped,
            int(progress.complete),
            progress.due_at_ms,
        )


class RecoveryPlatform(Protocol):
    """The ports of an object that recovers."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


class Reader(Protocol):
    """Reads one page and stores what it says."""

    async def __call__(self, source: int, after: str, /) -> Page:
        """Read what follows ``after`` in a source."""
        ...


class Recoverer:
    """Reads page after page by alarms.

    Args:
        platform: the ports.
        recovery: how far the object is.
        read: reads one page.
        what: names the object in log lines.
    """

    def __init__(self, platform: RecoveryPlatform, recovery: Recovery, read: Reader, *, what: str) -> None:
        self._platform = platform
        self._recovery = recovery
        self._read = read
        self._what = what
        self._wakeup = Wakeup(platform, recovery)
        #: The calls that come every minute begin with this.
        self.look = self._wakeup.look

    def rearm(self) -> None:
        """Arm the alarm if there is something to read; called at the end of every entry."""
        self._wakeup.rearm()

    async def tick(self) -> None:
        """Read one page. Called by the alarm; never raises."""
        self._wakeup.fired()
        if self._wakeup.ticking:
            return
        now_ms = self._platform.clock.now_ms()
        due_ms = self._recovery.next_due_ms()
        if due_ms is None or due_ms > now_ms:
            self._wakeup.rearm()
            return
        self._wakeup.ticking = True
        failed = False
        try:
            self._wakeup.watchdog(now_ms + WATCHDOG_MS)
            await self._page()
        except Exception as error:
            failed = True
            waits = isinstance(error, RetryableError) and error.error_code == WAITS
            level, event = ("info", "recovery.waits") if waits else ("warning", "recovery.failed")
            self._platform.log(level, event, {"object": self._what, "error": describe(error)})
        finally:
            self._wakeup.ticking = False
        self._wakeup.after_tick(failed=failed, idle=False)

    async def _page(self) -> None:
        progress = self._recovery.progress()
        page = await self._read(progress.source, progress.after)
        self._recovery.advance(progress, page, self._platform.clock.now_ms())
        if page.following is None:
            fields = {"object": self._what, "pass": progress.passes + 1, "skipped": progress.skipped + page.skipped}
            self._platform.log("info", "recovery.done", fields)
