"""What a slice of a world's job holds open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.ports import Database
from orchestrator.testing.blobs import MemoryBlobs

if TYPE_CHECKING:
    from orchestrator.testing.world import WorldObject


class WorldResources:
    """What a slice of a world's job holds open."""

    def __init__(self, owner: WorldObject) -> None:
        self._owner = owner

    @property
    def services(self) -> object:
        """What the test put there."""
        self._owner.commit()
        return self._owner.world.services

    def database(self) -> Database:
        """Return the test's database."""
        self._owner.commit()
        if self._owner.world.database is None:
            raise AssertionError("this world has no database: World(..., database=…)")
        return self._owner.world.database()

    def blobs(self) -> MemoryBlobs:
        """Return the world's objects."""
        self._owner.commit()
        return self._owner.world.blobs

    async def close(self) -> None:
        """Nothing is held open."""
