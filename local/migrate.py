"""Applies the numbered SQL files of ``steps/platform/schema``, each once."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Final, LiteralString, cast

import msgspec

from durable.postgres import AsyncpgDatabase
from orchestrator.ports import Connection, Database

SCHEMA_DIR: Final = Path(__file__).resolve().parent.parent / "steps" / "platform" / "schema"
#: The migration that makes the platform's own tables, which its application owns in production.
PLATFORM_TABLES: Final = 1
#: Key of the advisory lock that lets one process migrate at a time; any number nobody else uses.
_LOCK_KEY: Final = 7_105_310_413


class MigrationError(Exception):
    """A migration cannot be applied, or an applied one was changed afterwards."""


class Migration(msgspec.Struct, frozen=True):
    """One numbered SQL file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(url: str, *, platform_tables: bool = True) -> list[str]:
    """Bring the database up to date; return the names of the migrations that were applied now.

    Args:
        url: ``postgres://user:password@host:port/database``; the user must be allowed to create schemas and the
            ``vector`` extension.
        platform_tables: False where the platform's application has made its tables itself; their migration is then
            recorded without being run.

    Raises:
        MigrationError: an applied migration differs from its file, or two have one number.
        DatabaseError: the database refused or was lost; what is recorded has been applied, nothing else.
    """

    async def run() -> list[str]:
        database = AsyncpgDatabase(url)
        try:
            return await apply_migrations(database, load_migrations(), platform_tables=platform_tables)
        finally:
            await database.close()

    return asyncio.run(run())


def load_migrations(directory: Path = SCHEMA_DIR) -> list[Migration]:
    """Return the migrations of ``directory`` in order.

    Raises:
        MigrationError: two have one number.
    """
    files = sorted(directory.glob("*.sql"))
    migrations = [Migration(int(file.name.split("_", 1)[0]), file.stem, file.read_text("utf-8")) for file in files]
    numbers = [migration.number for migration in migrations]
    if len(set(numbers)) != len(numbers):
        raise MigrationError("Two migrations have one number.")
    return migrations


async def apply_migrations(
    database: Database, migrations: list[Migration], *, platform_tables: bool = True
) -> list[str]:
    """Apply the migrations the database does not have yet, each in one transaction with its record.

    Raises:
        MigrationError: an applied migration differs from the one given.
        DatabaseError: see :func:`migrate`.
    """
    applied: list[str] = []
    async with database.transaction() as connection:
        await _lock(connection)
        await connection.execute("create schema if not exists wf")
        await connection.execute(
            "create table if not exists wf.migration (number integer primary key, name text not null,"
            " checksum text not null, applied_at timestamptz not null default now())"
        )
    for migration in migrations:
        async with database.transaction() as connection:
            await _lock(connection)
            if await _is_applied(connection, migration):
                continue
            if platform_tables or migration.number != PLATFORM_TABLES:
                # The files are part of the program, so their text is as constant as a literal.
                await connection.execute(cast("LiteralString", migration.sql))
            await connection.execute(
                "insert into wf.migration (number, name, checksum) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
            applied.append(migration.name)
    return applied


async def _lock(connection: Connection) -> None:
    await connection.execute("select pg_advisory_xact_lock($1)", _LOCK_KEY)


async def _is_applied(connection: Connection, migration: Migration) -> bool:
    row = await connection.fetchrow("select name, checksum from wf.migration where number = $1", migration.number)
    if row is None:
        return False
    if row["checksum"] != migration.checksum:
        raise MigrationError(f"Migration {migration.name} was applied in another form; add a new one instead.")
    return True
