"""Processes are killed in the middle of an ingestion; what is left equals an undisturbed run (design.md §9.4)."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from local.process import LocalStack, wait_until
from tests.workerd.run import COMPANIONS, MAIN, Ingestion
from tests.workerd.scene import Scene, changed_configuration

#: Shares of the large document at which workerd is killed.
SHARES = (0.2, 0.5, 0.8)


def test_workerd_is_killed_at_several_points(scene: Scene, tmp_path: Path) -> None:
    with LocalStack(tmp_path) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        scene.reach_documents(ingestion)
        kill(stack)
        for share in SHARES:
            scene.reach(ingestion, share)
            kill(stack)
        scene.finish(ingestion)
        assert sum(job.crashes for job in ingestion.family(MAIN)) >= len(SHARES)


def test_everything_is_killed_with_jobs_running_and_jobs_in_the_queue(scene: Scene, tmp_path: Path) -> None:
    """The queue holds its messages back and forgets them with its process: the jobs have to send themselves again."""
    block = 'queue = "agentset-ingest-queue"\nmax_batch_size = 50\nmax_batch_timeout = {}\n'
    slow_queue = changed_configuration(tmp_path, block.format(0), block.format(60))
    with LocalStack(tmp_path / "state", arguments=slow_queue) as stack, Ingestion(stack) as ingestion:
        scene.prepare(ingestion)
        ingestion.start(MAIN, mode="direct")
        scene.reach(ingestion, 0.5)
        companions = [ingestion.start(ingest_job_id) for ingest_job_id in COMPANIONS]
        assert [ingestion.job(job_id).status for job_id in companions] == ["queued"] * 3
        stack.kill()
    with LocalStack(tmp_path / "state") as stack, Ingestion(stack) as ingestion:
        scene.finish(ingestion)
        assert [(ingestion.job(job_id).status, ingestion.job(job_id).crashes) for job_id in companions] == [
            ("completed", 0)
        ] * 3


def test_postgres_is_killed(scene: Scene, tmp_path: Path) -> None:
    """Its statements are cut off in the middle; the launcher starts it again, and the jobs try again."""
    with LocalStack(tmp_path) as stack:
        with Ingestion(stack) as ingestion:
            scene.start(ingestion)
            scene.reach(ingestion, 0.4)
        postgres_of(stack).kill()
        wait_until(lambda: any("postgres_restarted" in line for line in list(stack.lines)), timeout_s=30)
        with Ingestion(stack) as ingestion:
            scene.finish(ingestion)
            assert sum(job.crashes for job in ingestion.family(MAIN)) == 0


def postgres_of(stack: LocalStack) -> psutil.Process:
    """Return the server itself, which alone has the data directory on its command line."""
    found: list[psutil.Process] = []
    for process in psutil.Process(stack.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a connection's process, which has ended by now
            if Path(process.exe()).name == "postgres" and "-D" in process.cmdline():
                found.append(process)
    (server,) = found
    return server


def kill(stack: LocalStack) -> None:
    """Kill workerd and wait until it runs again."""
    with stack.expect_restart():
        killed = stack.kill_workerd()
    assert stack.info.workerd_pid != killed
