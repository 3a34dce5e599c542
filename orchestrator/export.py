"""Everything a job's journal holds, in pages that fit an answer between objects: for audits and support."""

from __future__ import annotations

from typing import LiteralString

import msgspec

from orchestrator import codec, large
from orchestrator.errors import InvalidRequestError
from orchestrator.journal import Journal
from orchestrator.limits import EXPORT_PAGE_BYTES
from orchestrator.model import JobRow
from orchestrator.ports import SqlValue

FORMAT = 1


class _Section(msgspec.Struct, frozen=True):
    """A table: its next row after a position, and the names of the columns, the position's first."""

    name: str
    query: LiteralString
    columns: tuple[str, ...]
    start: tuple[SqlValue, ...]


class ExportItem(msgspec.Struct, frozen=True):
    """A row of a section; a value that is kept in object storage is named, not copied."""

    section: str
    row: dict[str, object]


class ExportPage(msgspec.Struct, frozen=True):
    """Rows of sections in order, and where the next page begins, or None."""

    items: list[ExportItem]
    next_cursor: str | None


_SECTIONS = (
    _Section(
        "steps",
        """select seq, key, kind, status, attempt, crashes, due_at_ms, started_at_ms, finished_at_ms, value, error,
        policy from step where (seq, key) > (?, ?) order by seq, key limit 1""",
        (
            "seq",
            "key",
            "kind",
            "status",
            "attempt",
            "crashes",
            "due_at_ms",
            "started_at_ms",
            "finished_at_ms",
            "value",
            "error",
            "policy",
        ),
        (-1, ""),
    ),
    _Section(
        "children",
        """select operation, key, job_id, payload, outcome from child where (operation, key) > (?, ?)
        order by operation, key limit 1""",
        ("operation", "key", "job_id", "payload", "outcome"),
        ("", ""),
    ),
    _Section("due", "select key, at_ms from due where key > ? order by key limit 1", ("key", "at_ms"), ("",)),
    _Section(
        "inbox",
        "select seq, name, event_id, data, taken from inbox where seq > ? order by seq limit 1",
        ("seq", "name", "event_id", "data", "taken"),
        (-1,),
    ),
    _Section(
        "outbox",
        "select id, kind, body, attempts, due_at_ms from outbox where id > ? order by id limit 1",
        ("id", "kind", "body", "attempts", "due_at_ms"),
        (-1,),
    ),
    _Section(
        "events",
        "select seq, at_ms, kind, key, data from event where seq > ? order by seq limit 1",
        ("seq", "at_ms", "kind", "key", "data"),
        (-1,),
    ),
)
SECTIONS = tuple(section.name for section in _SECTIONS)


def export_page(job: JobRow, journal: Journal, cursor: str | None) -> ExportPage:
    """Return the next rows of the journal, the job's own row first.

    Args:
        job: the job.
        journal: its journal.
        cursor: what the page before answered; None is the beginning.

    Raises:
        InvalidRequestError: the cursor is not one of ours (code ``invalid_cursor``).
    """
    items: list[ExportItem] = []
    index, position = _position(cursor)
    if cursor is None:
        row: dict[str, object] = {name: _shown(getattr(job, name)) for name in JobRow.__struct_fields__}
        items.append(ExportItem("job", row))
    size_bytes = 0
    while index < len(_SECTIONS):
        section = _SECTIONS[index]
        if size_bytes >= EXPORT_PAGE_BYTES:
            return ExportPage(items, msgspec.json.encode([index, *position]).decode())
        rows = journal.sql.execute(section.query, *position)
        if not rows:
            index += 1
            position = _SECTIONS[index].start if index < len(_SECTIONS) else ()
            continue
        position = rows[0][: len(section.start)]
        # A row of few columns is no free one: its names are part of the answer, too.
        size_bytes += 200 + sum(len(value) for value in rows[0] if isinstance(value, (bytes, str)))
        values = [_shown(value) for value in rows[0]]
        items.append(ExportItem(section.name, dict(zip(section.columns, values, strict=True))))
    return ExportPage(items, None)


def _position(cursor: str | None) -> tuple[int, tuple[SqlValue, ...]]:
    if cursor is None:
        return 0, _SECTIONS[0].start
    try:
        index, *position = msgspec.json.decode(cursor, type=list[int | str])
        start = _SECTIONS[int(index)].start
    except (msgspec.MsgspecError, ValueError, IndexError):
        raise InvalidRequestError("The cursor is not one that this job gave", code="invalid_cursor") from None
    if int(index) < 0 or [type(item) for item in position] != [type(item) for item in start]:
        raise InvalidRequestError("The cursor is not one that this job gave", code="invalid_cursor")
    return int(index), tuple(position)


def _shown(value: object) -> object:
    """Return a stored value decoded: every blob of a journal is one that the codec made, empty, or a reference."""
    if not isinstance(value, bytes):
        return value
    if not value:
        return None
    if large.is_reference(value):
        return {"stored_object": large.key_of(value)}
    return codec.decode(value)
