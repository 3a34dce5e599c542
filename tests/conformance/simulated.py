"""The scenarios' platform on the simulator's models."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import NoReturn

from orchestrator.errors import RetryableError
from orchestrator.ports import Sql
from orchestrator.testing.catalog import SmallBackstage
from orchestrator.testing.faults import Crash
from orchestrator.testing.host import Copy, EngineHost, Host
from orchestrator.testing.queues import Message
from orchestrator.testing.simulation import LIMIT_MS, Simulation
from tests.conformance.platform import Scenario
from tests.conformance.platform_probe.acts import ACTS, consume, on_alarm

#: Retries in the probe's wrangler.toml.
MAX_RETRIES = 2


class ProbeCopy(Copy):
    """Implements ``Inside`` with the ports of a copy."""

    def __init__(self, simulation: ProbeSimulation, host: Host) -> None:
        super().__init__(simulation, host)
        self._simulation = simulation
        self.memory: dict[str, str] = {}

    async def wait(self, delay_ms: int) -> None:
        await self._simulation.pass_time(self, "wait")
        await self._simulation.sleep(delay_ms)

    async def call(self, name: str, act: str, *args: str) -> str:
        self.gate()
        return await self._simulation.reach_probe(self, name, act, *args)

    def die(self) -> NoReturn:
        self._simulation.kill(self.host)
        raise Crash


class ProbeHost(EngineHost[ProbeCopy]):
    """One object that acts as it is told."""

    def __init__(self, simulation: ProbeSimulation, name: str) -> None:
        self._simulation = simulation
        super().__init__(simulation, name)

    def boot(self) -> Copy:
        self.engine = ProbeCopy(self._simulation, self)
        return self.engine

    def tick(self) -> Coroutine[object, object, None]:
        return on_alarm(self.engine)


class ProbeBackstage(SmallBackstage):
    """Consumers of the probe's queues, and nobody who looks after anything."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__(simulation)
        assert isinstance(simulation, ProbeSimulation)
        self._probes = simulation

    async def tick(self) -> None:
        """Leave everything to itself."""

    async def consume(self, queue: str, message: Message) -> None:
        await consume(queue, [message], self._tell)

    async def consume_dead(self, message: Message) -> None:
        await self.consume("dead", message)

    async def _tell(self, tag: str, text: str) -> None:
        await self._probes.reach_probe(None, f"queue {tag}", "note", text)


class ProbeSimulation(Simulation):
    """The simulation, with probes instead of jobs."""

    def __init__(self, *, seed: int, strikes: frozenset[str]) -> None:
        super().__init__(seed=seed, only=strikes, backstage=ProbeBackstage)
        self.queues.max_retries = MAX_RETRIES
        self._probes: dict[str, ProbeHost] = {}

    def hosts(self) -> list[Host]:
        return [*self._probes.values()]

    def probe(self, name: str) -> ProbeHost:
        """Return an object, made when it is first named."""
        if name not in self._probes:
            self._probes[name] = ProbeHost(self, name)
        return self._probes[name]

    async def reach_probe(self, sender: Copy | None, name: str, act: str, *args: str) -> str:
        """Have an object act: at once if it does not wait for anything, as the engine's calls do, or in a task."""
        host, function = self.probe(name), ACTS[act]
        if not inspect.iscoroutinefunction(function):
            return await self.send(sender, act, name, lambda: self.reach(host, lambda copy: str(function(copy, *args))))
        await self.pass_time(sender, act)
        copy = host.copy
        task = self.spawn(function(copy, *args), owner=copy)
        try:
            result = str(await task)
            self.gate(host)
        except (Crash, asyncio.CancelledError):
            raise RetryableError("The object was reset", code="object_unreachable") from None
        await self.pass_time(sender, act)
        return result


class SimulatedPlatform:
    """Implements ``Platform``."""

    is_simulated = True

    def __init__(self, simulation: ProbeSimulation) -> None:
        self._simulation = simulation

    def now_ms(self) -> int:
        return self._simulation.clock.now_ms()

    async def act(self, name: str, act: str, *args: str) -> str:
        return await self._simulation.reach_probe(None, name, act, *args)

    async def wait(self, delay_ms: int) -> None:
        await self._simulation.sleep(delay_ms)

    async def evict(self, name: str) -> None:
        self._simulation.kill(self._simulation.probe(name))

    async def crash(self) -> None:
        for host in self._simulation.hosts():
            self._simulation.kill(host)

    async def send(self, queue: str, text: str, *, delay_s: int = 0) -> None:
        # Delays are drawn by the simulation: the local runtime's are timers that a restart forgets.
        self._simulation.queues.send(queue, text)


def run_simulated(scenario: Scenario, seed: int) -> None:
    """Run a scenario in virtual time.

    Raises:
        AssertionError: the simulator does something else.
    """
    with ProbeSimulation(seed=seed, strikes=scenario.strikes) as simulation:
        work: Coroutine[object, object, None] = _run(scenario, SimulatedPlatform(simulation))
        task = simulation.go(work)
        assert simulation.run_until(task.done, within_ms=LIMIT_MS)
        task.result()


async def _run(scenario: Scenario, platform: SimulatedPlatform) -> None:
    await scenario.run(platform)


def probe_sql(check: Callable[[Sql], None]) -> None:
    """Run a scenario of SQL in an object of the simulator.

    Raises:
        AssertionError: the simulator does something else.
    """
    with ProbeSimulation(seed=0, strikes=frozenset()) as simulation:
        check(simulation.probe("sql").copy)
