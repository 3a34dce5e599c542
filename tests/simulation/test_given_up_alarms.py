"""Alarms that the platform has given up, and that their objects still believe in (decisions/0076)."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from orchestrator import JobContext, LanePolicy, Rate, WorkflowOptions, workflow
from orchestrator.lifecycle import JobStatus
from orchestrator.schedule import Schedule
from orchestrator.testing.host import Host
from orchestrator.testing.simulation import Simulation
from orchestrator.testing.world_job import WorldObject
from orchestrator.testing.world_lane import WorldLane
from tests.simulation.backstage import Node, RealBackstage
from tests.simulation.cron import ScheduleHost

MINUTE_MS = 60_000


class Nothing(BaseModel):
    pass


@workflow("nap", options=WorkflowOptions(lane=LanePolicy(name="slow", rate=Rate(count=1, per_ms=MINUTE_MS))))
async def nap(job: JobContext, payload: Nothing) -> str:
    await job.sleep(2 * MINUTE_MS)
    return "rested"


@workflow("hourly")
async def hourly(job: JobContext, payload: Nothing) -> None:
    await job.sleep(1)


@pytest.mark.parametrize("kind", [WorldObject, WorldLane, ScheduleHost, Node])
@pytest.mark.parametrize("forgetful", [False, True])
def test_whatever_waits_for_an_alarm_that_was_given_up_goes_on(kind: type[Host], forgetful: bool) -> None:
    made: list[RealBackstage] = []

    def backstage(simulation: Simulation) -> RealBackstage:
        made.append(RealBackstage(simulation))
        return made[-1]

    with Simulation(nap, hourly, backstage=backstage) as simulation:
        requests = [simulation.client.request("nap", {}) for _ in range(2)]
        for request in requests:
            simulation.go(simulation.client.create(request))
        schedules = made[0].schedules
        task = simulation.go(schedules.create(Schedule(id="s", workflow="hourly", cron="0 * * * *")))
        assert simulation.run_until(task.done, within_ms=MINUTE_MS)
        simulation.advance(5_000)
        if kind is Node:
            made[0].lose(requests[0].job_id)  # what it has to recover is what its alarm is for
            assert simulation.run_until(lambda: bool(armed(simulation, kind)), within_ms=5 * MINUTE_MS)
        hosts = armed(simulation, kind)
        assert hosts
        for host in hosts:
            simulation.alarms.give_up(host, believed=True)
            if forgetful:
                simulation.kill(host)
        assert simulation.run_until(lambda: all_go_on(simulation), within_ms=3 * 60 * MINUTE_MS)


def armed(simulation: Simulation, kind: type[Host]) -> list[Host]:
    return [host for host in simulation.hosts() if isinstance(host, kind) and host.durable_alarm_ms is not None]


def all_go_on(simulation: Simulation) -> bool:
    """Tell whether both jobs have ended, the schedule has started two, and the catalog has recovered what it lost."""
    found = [host.journal.load_job() for host in simulation.objects.values() if host.journal.exists()]
    completed = [job.workflow for job in found if job is not None and job.status is JobStatus.COMPLETED]
    recovers = any(host.next_due_ms() is not None for host in simulation.hosts() if isinstance(host, Node))
    return completed.count("nap") == 2 and completed.count("hourly") >= 2 and not recovers
