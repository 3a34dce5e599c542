"""What a slice of a world's job holds open."""

from __future__ import annotations

from orchestrator.ports import Blobs, Database
from orchestrator.testing.host import Copy


class WorldResources:
    """What a slice of a world's job holds open."""

    def __init__(self, copy: Copy) -> None:
        self._copy = copy

    @property
    def services(self) -> object:
        """What the test put there."""
        self._copy.gate()
        return self._copy.world.services

    def database(self) -> Database:
        """Return the test's database."""
        self._copy.gate()
        return self._copy.world.open_database(self._copy)

    def blobs(self) -> Blobs:
        """Return the world's objects."""
        self._copy.gate()
        return self._copy.world.open_blobs(self._copy)

    async def close(self) -> None:
        """Nothing is held open."""
