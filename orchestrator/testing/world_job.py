"""The jobs of a world: each an object with the engine of one job in it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING

from orchestrator.engine import JobEngine
from orchestrator.journal import Journal
from orchestrator.operations import Token
from orchestrator.state import RETENTION
from orchestrator.testing.faults import SeededEntropy
from orchestrator.testing.host import Copy, EngineHost
from orchestrator.testing.network import WorldNetwork
from orchestrator.testing.world_resources import WorldResources

if TYPE_CHECKING:
    pass


class JobCopy(Copy):
    """Implements :class:`orchestrator.ports.Platform`."""

    @property
    def entropy(self) -> SeededEntropy:
        """The world's randomness."""
        return self.world.entropy

    @property
    def network(self) -> WorldNetwork:
        """The other objects; sending waits for durable writes, as the output gate does."""
        return WorldNetwork(self.world, self)

    def make_token(self, job_id: str, key: str, expires_at_ms: int) -> Token:
        """Make a token signed with the world's secret."""
        return self.world.signer.make(job_id, key, expires_at_ms)

    def resources(self) -> WorldResources:
        """Open what a slice needs."""
        return WorldResources(self)


class WorldObject(EngineHost[JobEngine]):
    """One job's Durable Object: durable SQL and alarm, and an engine that a crash forgets."""

    def boot(self) -> Copy:
        """See :class:`orchestrator.testing.host.Host`."""
        copy = JobCopy(self.world, self)
        self.engine = JobEngine(copy, self.world.registry, always_replay=self.world.always_replay)
        return copy

    def tick(self) -> Coroutine[object, object, None]:
        """See :class:`orchestrator.testing.host.Host`."""
        return self.engine.tick()

    @property
    def journal(self) -> Journal:
        """What is stored of the job; reading it is nothing that happens to the object."""
        return Journal(self.sql)

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.name

    def is_kept(self) -> bool:
        """Tell whether nothing but the deletion of an ended job is left to do here, and not yet."""
        if not self.sql.execute("select 1 from sqlite_master where name = 'outbox'"):
            return False
        found = self.sql.execute(
            """select 1 from job, due where due.key = ? and due.at_ms > ? and finished_at_ms is not null
            and not exists (select 1 from outbox)""",
            RETENTION,
            self.world.clock.now_ms(),
        )
        return bool(found)
