"""Objects lose their memory in the middle of an ingestion, and go on from their journal."""

from __future__ import annotations

import contextlib
from pathlib import Path

from local.process import LocalStack, StackError
from tests.workerd.corpus import managed, text
from tests.workerd.run import MAIN, Ingestion
from tests.workerd.scene import Scene, changed_configuration, large_job

#: Shares of the large document at which its job and its parent are evicted.
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)


def test_objects_are_evicted_again_and_again(scene: Scene, tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack, Ingestion(stack) as ingestion:
        job_id = scene.start(ingestion)
        for share in SHARES:
            scene.reach(ingestion, share)
            evict_between_batches(ingestion, large_job(ingestion, job_id))
            with contextlib.suppress(StackError):  # it has been forgotten, and nobody has called it since
                stack.evict("JobObject", job_id)
        scene.finish(ingestion)
        _, large, *others = ingestion.family(MAIN)
        assert large.slices > len(SHARES)
        assert sum(job.crashes for job in (large, *others)) == 0


def evict_between_batches(ingestion: Ingestion, job_id: str) -> None:
    """Evict an object when it is idle, as the platform does; pausing its job makes it so before the job has ended."""
    ingestion.call("POST", f"/v1/jobs/{job_id}/pause", object)
    ingestion.stack.evict("JobObject", job_id)
    assert ingestion.job(job_id).status == "paused"
    ingestion.call("POST", f"/v1/jobs/{job_id}/resume", object)


def test_coroutines_are_dropped_after_every_slice(scene: Scene, tmp_path: Path) -> None:
    variables = changed_configuration(tmp_path, "[limits]", '[vars]\nALWAYS_REPLAY = "1"\n\n[limits]')
    with LocalStack(tmp_path / "state", arguments=variables) as stack, Ingestion(stack) as ingestion:
        job_id = scene.start(ingestion)
        scene.finish(ingestion)
        assert ingestion.job(job_id).slices > 2


def test_an_ended_job_holds_its_object_no_longer(ingestion: Ingestion) -> None:
    """No timer, connection or promise is left behind: it would keep the object in memory, and billed."""
    ingestion.add("cjobheld", [text("A document."), managed("nothing.txt", b"")])
    ingestion.start("cjobheld")
    jobs = ingestion.family("cjobheld")
    assert [job.status for job in jobs] == ["completed", "completed", "failed"]
    for job in jobs:
        ingestion.stack.evict("JobObject", job.id)
