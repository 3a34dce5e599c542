"""Which Postgres driver the Worker has: asyncpg where its wheel is (deployed), pg8000 in the local runtime."""

from __future__ import annotations

from importlib.util import find_spec

from durable import bridge
from orchestrator.ports import Database

#: The Hyperdrive binding.
DATABASE = "DB"


class WorkerDatabases:
    """The database of one slice."""

    def __init__(self, env: bridge.Env) -> None:
        self._env = env
        self._open: Database | None = None

    def get(self) -> Database:
        """Return the slice's database; it connects on first use."""
        if self._open is None:
            address = self._env.hyperdrive(DATABASE)
            if find_spec("asyncpg") is None:
                from durable.postgres_pg8000 import Pg8000Database

                self._open = Pg8000Database(address)
            else:
                from durable.postgres import AsyncpgDatabase

                self._open = AsyncpgDatabase(address)
        return self._open

    async def close(self) -> None:
        """Close the connection, if one was opened."""
        if self._open is not None:
            await self._open.close()
            self._open = None
