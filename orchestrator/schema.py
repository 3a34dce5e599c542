"""The tables of an object's SQLite, with their version in one of their own (``user_version`` is not allowed there)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import LiteralString

from orchestrator.columns import integer
from orchestrator.errors import OrchestratorError
from orchestrator.ports import Sql

_NO_UPGRADES: Mapping[int, LiteralString] = MappingProxyType({})


def migrate(
    sql: Sql,
    tables: Sequence[LiteralString],
    version: int,
    *,
    what: str,
    upgrades: Mapping[int, LiteralString] = _NO_UPGRADES,
) -> None:
    """Create the tables, or check that they are this release's.

    Called first in every entry, never in a constructor, which must not fail (platform.md §10 rule 14).

    Args:
        sql: the object's SQLite.
        tables: statements that may be repeated.
        version: of these tables.
        what: names the object in errors.
        upgrades: by earlier version, the statement that leads to the next.

    Raises:
        OrchestratorError: another release has written here (code ``schema``).
    """
    sql.execute("create table if not exists schema_version (version integer primary key)")
    stored = sql.execute("select max(version) from schema_version")[0][0]
    found = version if stored is None else integer(stored)
    # First what brings old tables up to date: the statements below may need their new columns.
    while found < version and found in upgrades:
        sql.execute(upgrades[found])
        found += 1
    if found != version:
        raise OrchestratorError(f"The {what} has schema {found}; this release reads {version}", code="schema")
    for statement in tables:
        sql.execute(statement)
    if stored is None:
        sql.execute("insert into schema_version (version) values (?)", version)
    elif integer(stored) != version:
        sql.execute("update schema_version set version = ?", version)
