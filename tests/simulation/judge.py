"""Holds what a program has led to against the oracle."""

from __future__ import annotations

from orchestrator import codec
from orchestrator.errors import ErrorRecord
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import RETENTION_MS
from tests.simulation.oracle import Oracle
from tests.simulation.scene import Scene

#: What a tick may fail with under faults; anything else is a bug.
_EXCUSES = ("ObjectResetError", "ConnectionError", "RetryableError", "object_", "queue_", "catalog_", "database_")
#: Errors that say what was struck, or that a call came too late for its job.
_TOLD = ("outbox.refused", "message.", "sweep.shards_silent")
#: An end that is due is acted on once somebody looks.
_SLACK_MS = 10


class Judge:
    """Looks at the end of one program.

    Args:
        scene: has come to rest.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._simulation = scene.simulation
        self._program = scene.program
        self._oracle = Oracle(mended=scene.services.mended)
        self._expected = self._oracle.expect(scene.program)

    def judge(self) -> None:
        """Judge everything.

        Raises:
            AssertionError: it should have been otherwise.
        """
        cut_short = self._judge_end()
        self._judge_effects(cut_short)
        self._judge_deletion()
        faults = self._scene.services.faults
        assert not faults, "; ".join(faults)
        for level, event, fields in self._simulation.logs:
            excused = any(excuse in str(fields.get("error")) for excuse in _EXCUSES)
            assert level != "error" or excused or event.startswith(_TOLD), f"{event}: {fields}"

    def _judge_end(self) -> bool:
        """Judge how the first job ended; tell whether it was cut short."""
        status, result, error = self._simulation.watch.end_of(self._scene.request.job_id)
        value = None if result is None else codec.decode(result)
        record = None if error is None else codec.decode_as(error, ErrorRecord)
        expected = self._expected
        if self._scene.cancelled:
            assert status is JobStatus.CANCELLED, f"a cancelled job is {status}"
            return True
        if status is JobStatus.CANCELLED and any(action.what == "cancel_by_tag" for action in self._program.actions):
            return True  # the answer got lost, and the second call found a job that had ended
        if status is JobStatus.EXPIRED:
            assert self._program.ttl_ms, "a job without a time to live has expired"
            return True
        if record is not None and record.code == "job_timeout":
            assert self._program.max_ms, "a job that may take any time took too long"
            return True
        assert status == expected.status, f"ended {status} ({record}), expected {expected.status}"
        assert value == expected.value or expected.code is not None, f"gave {value}, expected {expected.value}"
        if expected.code is not None:
            assert record is not None
            assert record.code == expected.code, f"failed with {record}, expected {expected.code}"
        return False

    def _judge_effects(self, cut_short: bool) -> None:
        done, undone = self._effects()
        expected, expired = self._expected, self._ended_expired()
        must = set[str]() if cut_short else set(expected.must)
        may = set[str]() if expired else set(expected.may)
        for calls in self._scene.keyed:
            walked = calls.judge()
            must |= walked
            may |= {f"{path}/0" for path in calls.paths}
            done |= walked  # a step of theirs leaves no other trace than its job's result
        for cron in self._scene.crons:
            its_must, its_may = cron.judge()
            must |= its_must
            may |= its_may
        missing = must - done
        assert not missing, f"never done: {sorted(missing)}"
        excess = done - may
        assert not excess, f"done, and should not have been: {sorted(excess)}"
        if not cut_short:
            missing = expected.undone - undone
            assert not missing, f"never undone: {sorted(missing)}"
        completed = self._simulation.watch.end_of(self._scene.request.job_id)[0] is JobStatus.COMPLETED
        may_undo = expected.may_undo - expected.own_undo if completed else expected.may_undo
        may_undo = self._oracle.registered_anywhere if cut_short else may_undo
        excess = undone - (set() if expired else may_undo)
        assert not excess, f"undone, and should not have been: {sorted(excess)}"

    def _effects(self) -> tuple[set[str], set[str]]:
        """Return what was done and what was undone; each transaction once."""
        database, services = self._simulation.server.db, self._scene.services
        found: list[set[str]] = []
        for query in (
            "select path, count(*) from booking group by path",
            "select path, count(*) from unbooking group by path",
        ):
            counts = {str(path): int(count) for path, count in database.execute(query).fetchall()}
            twice = {path for path, count in counts.items() if count != 1}
            assert not twice, f"transactions that took effect more than once: {sorted(twice)}"
            found.append(set(counts))
        return found[0] | services.done, found[1] | services.undone

    def _ended_expired(self) -> bool:
        return self._simulation.watch.end_of(self._scene.request.job_id)[0] is JobStatus.EXPIRED

    def _judge_deletion(self) -> None:
        """Nothing is left of a deleted job, wherever it was."""
        job_id, simulation = self._scene.request.job_id, self._simulation
        if self._program.retention_ms == RETENTION_MS and not self._scene.deleted:
            assert simulation.view(job_id).status is not None
            return
        tables = simulation.objects[job_id].sql.execute("select name from sqlite_master")
        assert not tables, f"a deleted job has left {tables}"
        assert simulation.backstage.status(job_id) is None, "the catalog lists a deleted job"
        effects = [key for key in simulation.server.effects() if key.startswith(f"{job_id}:")]
        assert not effects, f"a deleted job has left {effects}"
        blobs = [key for key in simulation.blobs.names() if job_id in key]
        assert not blobs, f"a deleted job has left {blobs}"
