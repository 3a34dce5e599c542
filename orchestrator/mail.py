"""What a job says and hears: its history, the events it was sent, and what it has still to deliver."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from orchestrator.codec import decode
from orchestrator.columns import blob, integer, text
from orchestrator.limits import MAX_EVENTS
from orchestrator.model import Event
from orchestrator.ports import Sql, SqlRow

#: Takes a new line's kind, key and data.
Listener = Callable[[str, str | None, bytes | None], None]


class History:
    """Lines of a job's history, numbered."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        #: Called with each new line, which is not durable yet.
        self.listeners: list[Listener] = []

    def add(self, at_ms: int, kind: str, key: str | None = None, data: bytes | None = None) -> None:
        """Append to the history."""
        self._sql.execute("insert into event (at_ms, kind, key, data) values (?, ?, ?, ?)", at_ms, kind, key, data)
        self.tell(kind, key, data)

    def tell(self, kind: str, key: str | None = None, data: bytes | None = None) -> None:
        """Tell the listeners of a new line."""
        for listener in self.listeners:
            listener(kind, key, data)

    def after(self, seq: int, limit: int) -> list[Event]:
        """Return up to ``limit`` events with a number above ``seq``."""
        rows = self._sql.execute(
            "select seq, at_ms, kind, key, data from event where seq > ? order by seq limit ?", seq, limit
        )
        return [_event(row) for row in rows]

    def trim(self) -> None:
        """Drop the oldest events beyond the bound."""
        self._sql.execute("delete from event where seq <= (select max(seq) from event) - ?", MAX_EVENTS)


class Inbox:
    """Events that callers sent, kept until the workflow waits for them."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def put(self, name: str, event_id: str | None, data: bytes) -> bool:
        """Keep an event until the workflow waits for it; tell whether it is new."""
        known = event_id is not None and self._sql.execute("select 1 from inbox where event_id = ?", event_id)
        if known:
            return False
        self._sql.execute("insert into inbox (name, event_id, data, taken) values (?, ?, ?, 0)", name, event_id, data)
        return True

    def count(self) -> int:
        """Return how many events nobody has taken yet."""
        return integer(self._sql.execute("select count(*) from inbox where taken = 0")[0][0])

    def oldest(self, name: str) -> tuple[int, bytes] | None:
        """Return the number and data of the oldest event of this name that nobody has taken."""
        rows = self._sql.execute("select seq, data from inbox where name = ? and taken = 0 order by seq limit 1", name)
        return (integer(rows[0][0]), blob(rows[0][1])) if rows else None

    def take(self, seq: int) -> None:
        """Take an event. Its row stays, without its data, so that a repeated delivery is known."""
        self._sql.execute("update inbox set taken = 1, data = null where seq = ?", seq)


class OutboxRow(msgspec.Struct, frozen=True):
    """Something to deliver, at least once."""

    id: int
    kind: str
    body: bytes
    attempts: int
    due_at_ms: int


class OutboxTable:
    """What is to be delivered, at least once."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def add(self, kind: str, body: bytes, due_at_ms: int) -> None:
        """Store something to deliver, in the transaction of what it announces."""
        self._sql.execute(
            "insert into outbox (kind, body, attempts, due_at_ms) values (?, ?, 0, ?)", kind, body, due_at_ms
        )

    def due(self, now_ms: int, limit: int) -> list[OutboxRow]:
        """Return what is to be delivered now, oldest first."""
        rows = self._sql.execute(
            "select id, kind, body, attempts, due_at_ms from outbox where due_at_ms <= ? order by id limit ?",
            now_ms,
            limit,
        )
        return [OutboxRow(integer(r[0]), text(r[1]), blob(r[2]), integer(r[3]), integer(r[4])) for r in rows]

    def has(self, kind: str, body: bytes) -> bool:
        """Tell whether this is still to be delivered."""
        return bool(self._sql.execute("select 1 from outbox where kind = ? and body = ?", kind, body))

    def holds(self, row_id: int) -> bool:
        """Tell whether something is still to be delivered."""
        return bool(self._sql.execute("select 1 from outbox where id = ?", row_id))

    def remove(self, row_id: int) -> None:
        """Forget something that was delivered."""
        self._sql.execute("delete from outbox where id = ?", row_id)

    def retry(self, row_id: int, due_at_ms: int) -> None:
        """Try a delivery again later."""
        self._sql.execute("update outbox set attempts = attempts + 1, due_at_ms = ? where id = ?", due_at_ms, row_id)

    def next_owed_ms(self) -> int | None:
        """Return the earliest time anything is to be delivered to others than the catalog."""
        found = self._sql.execute("select min(due_at_ms) from outbox where kind <> 'catalog'")[0][0]
        return None if found is None else integer(found)

    def next_due_ms(self) -> int | None:
        """Return the earliest time anything is to be delivered."""
        found = self._sql.execute("select min(due_at_ms) from outbox")[0][0]
        return None if found is None else integer(found)


def _event(row: SqlRow) -> Event:
    data = row[4]
    key = row[3]
    return Event(
        integer(row[0]),
        integer(row[1]),
        text(row[2]),
        None if key is None else text(key),
        None if data is None else decode(blob(data)),
    )
