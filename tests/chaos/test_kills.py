"""workerd is killed twenty times during one ingestion; what is left equals an undisturbed run."""

from __future__ import annotations

from pathlib import Path

from local.process import LocalStack
from tests.workerd.run import MAIN, Ingestion
from tests.workerd.scene import Scene
from tests.workerd.test_crashes import kill

KILLS = 20


def test_workerd_is_killed_twenty_times_during_one_ingestion(scene: Scene, tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        scene.reach_documents(ingestion)
        for number in range(KILLS):
            kill(stack)
            # Most deaths come close together, some after a little progress: the job must not be blamed for either.
            if number % 5 == 4:
                scene.reach(ingestion, (number + 1) / KILLS * 0.8)
        scene.finish(ingestion)
        assert sum(job.crashes for job in ingestion.family(MAIN)) >= 4
