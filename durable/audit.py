"""The audit log: who asked for which control action, when, about what, and how it was answered.

An entry is kept before its action begins, so that no action goes without one; how it was answered is added afterwards.
An entry without an answer means that nobody knows: the request may have died on its way, its action done or not.
"""

from __future__ import annotations

from typing import LiteralString

import msgspec

from orchestrator.columns import integer
from orchestrator.ids import ULID_RANDOM_BYTES, ulid
from orchestrator.ports import Sql, SqlRow, SqlValue
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
ENTRY_ID_PREFIX = "aud_"
#: Entries are kept this long, and at most so many of them: the oldest go first.
KEPT_MS = 90 * 86_400_000
MAX_ENTRIES = 200_000
#: How often the entries are counted: every so many additions.
_COUNT_EVERY = 1_000

_SCHEMA: tuple[LiteralString, ...] = (
    """create table if not exists audit (
        id text primary key, at_ms integer, key_id text, operation text, target text, request_id text,
        status integer) without rowid""",
    "create index if not exists audit_by_target on audit (target, id)",
)
_SELECT: LiteralString = "select id, at_ms, key_id, operation, target, request_id, status from audit where id < ?"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One control action."""

    id: str
    at_ms: int
    #: The key on whose behalf it was asked for.
    key_id: str
    #: The operation's id in the OpenAPI document.
    operation: str
    #: The job, dead letter, lane, schedule or key; empty when it is about none or many.
    target: str
    #: What the answer carries in ``X-Request-Id``.
    request_id: str
    #: The HTTP status of the answer.
    status: int | None = None


class AuditOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an action was answered."""

    id: str
    status: int
    #: What it turned out to be about, where that was not known before.
    target: str | None = None


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which entries to list, newest first: those before ``before_id``."""

    target: str | None = None
    key_id: str | None = None
    after_ms: int | None = None
    before_ms: int | None = None
    before_id: str | None = None
    limit: int = 50


def entry_id(at_ms: int, random: bytes) -> str:
    """Return the id of a new entry; ids sort by time."""
    return ENTRY_ID_PREFIX + ulid(at_ms, random)


class AuditLog:
    """The table of entries.

    Args:
        sql: the object's SQLite.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False
        #: Additions until the entries are counted; a restart counts at once.
        self._uncounted = 0

    def add(self, entries: list[AuditEntry]) -> None:
        """Keep entries; adding them again changes nothing."""
        self._migrate()
        for entry in entries:
            self._sql.execute(
                """insert or ignore into audit (id, at_ms, key_id, operation, target, request_id, status)
                values (?, ?, ?, ?, ?, ?, ?)""",
                entry.id,
                entry.at_ms,
                entry.key_id,
                entry.operation,
                entry.target,
                entry.request_id,
                entry.status,
            )
        if entries:
            self._drop_old(entries[0].at_ms, len(entries))

    def settle(self, outcomes: list[AuditOutcome]) -> None:
        """Note how actions were answered."""
        self._migrate()
        for outcome in outcomes:
            self._sql.execute(
                "update audit set status = ?, target = coalesce(?, target) where id = ?",
                outcome.status,
                outcome.target,
                outcome.id,
            )

    def list(self, query: AuditQuery) -> list[AuditEntry]:
        """Return entries, newest first."""
        self._migrate()
        latest = ENTRY_ID_PREFIX + "~" if query.before_ms is None else _first_id(query.before_ms)
        text: LiteralString = _SELECT
        params: list[SqlValue] = [latest if query.before_id is None else min(latest, query.before_id)]
        if query.after_ms is not None:
            text += " and id >= ?"
            params.append(_first_id(query.after_ms))
        if query.target is not None:
            text += " and target = ?"
            params.append(query.target)
        if query.key_id is not None:
            text += " and key_id = ?"
            params.append(query.key_id)
        text += " order by id desc limit ?"
        return [_entry(row) for row in self._sql.execute(text, *params, query.limit)]

    def _drop_old(self, now_ms: int, added: int) -> None:
        self._sql.execute("delete from audit where id < ?", _first_id(max(0, now_ms - KEPT_MS)))
        self._uncounted -= added
        if self._uncounted > 0:
            return
        self._uncounted = _COUNT_EVERY
        surplus = integer(self._sql.execute("select count(*) from audit")[0][0]) - MAX_ENTRIES
        if surplus > 0:
            self._sql.execute("delete from audit where id in (select id from audit order by id limit ?)", surplus)

    def _migrate(self) -> None:
        if not self._ready:
            migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="audit log")
            self._ready = True


def _first_id(at_ms: int) -> str:
    return entry_id(at_ms, bytes(ULID_RANDOM_BYTES))


def _entry(row: SqlRow) -> AuditEntry:
    return msgspec.convert(dict(zip(AuditEntry.__struct_fields__, row, strict=True)), AuditEntry, strict=False)
