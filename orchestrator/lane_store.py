"""What a LaneObject stores: its policy, its permits and its buckets."""

from __future__ import annotations

from typing import LiteralString

import msgspec

from orchestrator import codec
from orchestrator.columns import blob, integer, text
from orchestrator.lane import LanePolicy
from orchestrator.lane_schedule import LaneState, Permit
from orchestrator.ports import Sql, SqlRow
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
_SCHEMA: tuple[LiteralString, ...] = (
    "create table if not exists lane (id integer primary key check (id = 1), policy blob, paused integer)",
    """create table if not exists permit (
        id text primary key, job_id text, keys blob, priority integer, since_ms integer, seq integer,
        granted_at_ms integer, lease_until_ms integer) without rowid""",
    # A level counts in 1/count ms, which outgrows what SQL integers carry faithfully.
    "create table if not exists bucket (scope text primary key, count integer, level text) without rowid",
)


class LaneStore:
    """Typed access to the tables of one lane."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False

    def exists(self) -> bool:
        """Tell whether anything was ever stored here, without storing anything."""
        return self._ready or bool(self._sql.execute("select 1 from sqlite_master where name = 'lane'"))

    def migrate(self) -> None:
        """Create the tables; called first in every entry that writes.

        Raises:
            OrchestratorError: another release has written here (code ``schema``).
        """
        if self._ready:
            return
        migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="lane")
        self._ready = True

    def load(self) -> LaneState | None:
        """Return the lane as it was left, or None when no job has ever asked."""
        rows = self._sql.execute("select policy, paused from lane")
        if not rows or rows[0][0] is None:
            return None
        state = LaneState(codec.decode_as(blob(rows[0][0]), LanePolicy))
        state.paused = bool(rows[0][1])
        return self._fill(state)

    def replace_policy(self, policy: LanePolicy) -> LaneState:
        """Store a policy and return the lane arranged for it."""
        self._sql.execute(
            """insert into lane (id, policy, paused) values (1, ?, 0)
            on conflict (id) do update set policy = excluded.policy""",
            codec.encode(policy),
        )
        state = LaneState(policy)
        state.paused = self.paused()
        return self._fill(state)

    def paused(self) -> bool:
        """Tell whether an operator holds the lane."""
        rows = self._sql.execute("select paused from lane")
        return bool(rows and rows[0][0])

    def set_paused(self, *, paused: bool) -> None:
        """Hold the lane, or let it go on."""
        self._sql.execute(
            "insert into lane (id, paused) values (1, ?) on conflict (id) do update set paused = excluded.paused",
            int(paused),
        )

    def insert(self, permit: Permit) -> None:
        """Store a request, granted or not."""
        self._sql.execute(
            """insert into permit (id, job_id, keys, priority, since_ms, seq, granted_at_ms, lease_until_ms)
            values (?, ?, ?, ?, ?, ?, ?, ?)""",
            permit.id,
            permit.job_id,
            codec.encode(permit.keys) if permit.keys else None,
            permit.priority,
            permit.since_ms,
            permit.seq,
            permit.granted_at_ms,
            permit.lease_until_ms,
        )

    def update(self, permit: Permit) -> None:
        """Store what became of a request."""
        self._sql.execute(
            "update permit set granted_at_ms = ?, lease_until_ms = ? where id = ?",
            permit.granted_at_ms,
            permit.lease_until_ms,
            permit.id,
        )

    def delete(self, permit_id: str) -> None:
        """Forget a permit."""
        self._sql.execute("delete from permit where id = ?", permit_id)

    def level(self, scope: str, count: int) -> int:
        """Return the level of one bucket, in the units of this ``count``."""
        rows = self._sql.execute("select count, level from bucket where scope = ?", scope)
        return int(text(rows[0][1])) * count // integer(rows[0][0]) if rows else 0

    def set_level(self, scope: str, count: int, level: int) -> None:
        """Store the level of a bucket: a restart must not fill it."""
        self._sql.execute(
            """insert into bucket (scope, count, level) values (?, ?, ?)
            on conflict (scope) do update set count = excluded.count, level = excluded.level""",
            scope,
            count,
            str(level),
        )

    def forget_full_buckets(self, now_ms: int) -> None:
        """Drop buckets that are full again: no row says the same."""
        rows = self._sql.execute("select scope, count, level from bucket")
        for scope, count, level in rows:
            if int(text(level)) <= now_ms * integer(count):
                self._sql.execute("delete from bucket where scope = ?", scope)

    def _fill(self, state: LaneState) -> LaneState:
        counts = {item.name: item.rate.count for item in state.policy.keys if item.rate is not None}
        if state.policy.rate is not None:
            counts[""] = state.policy.rate.count
        for scope, _, _ in self._sql.execute("select scope, count, level from bucket"):
            count = counts.get(text(scope).partition("=")[0])
            if count is not None:
                state.levels[text(scope)] = self.level(text(scope), count)
        rows = self._sql.execute(
            """select id, job_id, keys, priority, since_ms, seq, granted_at_ms, lease_until_ms
            from permit order by seq"""
        )
        for row in rows:
            state.add(_permit(row))
        return state


def _permit(row: SqlRow) -> Permit:
    fields: dict[str, object] = dict(zip(Permit.__struct_fields__, row, strict=True))
    fields["keys"] = {} if row[2] is None else codec.decode_as(blob(row[2]), dict[str, str])
    return msgspec.convert(fields, Permit, strict=False)
