"""The tables of a job's journal."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import LiteralString

SCHEMA_VERSION = 4
#: A finished step and its line of the history are one statement: each statement is a call into JavaScript, which costs
#: more than the rows it writes.
_STEP_COMPLETED: LiteralString = """create trigger if not exists step_completed after insert on step
    when new.status = 'completed' and new.kind in ('step', 'transaction') begin
    insert into event (at_ms, kind, key) values (new.finished_at_ms, 'step.completed', new.key); end"""
SCHEMA: tuple[LiteralString, ...] = (
    """create table if not exists job (
        id integer primary key check (id = 1), job_id text, workflow text, version integer, status text, phase text,
        epoch integer, payload blob, options blob, parent blob, created_at_ms integer, started_at_ms integer,
        finished_at_ms integer, due_at_ms integer, slices integer, paused_at_ms integer, generation integer,
        crashes integer, crashes_total integer,
        slice_open integer, slice_units integer, revision integer, rows_written integer, progress blob, metadata blob,
        result blob, error blob, account blob, pause_error blob)""",
    """create table if not exists step (
        key text primary key, seq integer, kind text, status text, attempt integer, crashes integer, due_at_ms integer,
        started_at_ms integer, finished_at_ms integer, value blob, error blob, policy blob) without rowid""",
    "create table if not exists due (key text primary key, at_ms integer) without rowid",
    """create table if not exists child (
        operation text, key text, job_id text, payload blob, outcome blob,
        primary key (operation, key)) without rowid""",
    "create table if not exists event (seq integer primary key, at_ms integer, kind text, key text, data blob)",
    """create table if not exists inbox (
        seq integer primary key, name text, event_id text, data blob, taken integer)""",
    """create table if not exists outbox (
        id integer primary key, kind text, body blob, attempts integer, due_at_ms integer)""",
    _STEP_COMPLETED,
)
#: From each earlier version to the next.
UPGRADES: Mapping[int, LiteralString] = MappingProxyType(
    {
        1: "alter table job add column account blob",
        2: "alter table job add column pause_error blob",
        3: _STEP_COMPLETED,
    }
)
PURGE: tuple[LiteralString, ...] = (
    "delete from step",
    "delete from child",
    "delete from inbox",
    "delete from outbox",
    "update job set payload = x'', progress = null, metadata = null, result = null, error = null",
    "delete from event",
)
