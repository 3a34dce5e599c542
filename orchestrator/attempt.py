"""One attempt at an operation: runs author code, and says what is to be committed. Commits nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import CoroutineType
from typing import cast

import msgspec

from orchestrator import codec, large
from orchestrator.driver import AnyOp, Failure, Outcome, Success
from orchestrator.errors import DefinitionError, ErrorRecord, RetryableError, StepFailedError
from orchestrator.lifecycle import StepStatus
from orchestrator.limits import BATCH_TARGET_MS, MAX_ERROR_CHARS, MAX_LARGE_VALUE_BYTES, MAX_VALUE_BYTES
from orchestrator.model import Progress, StepRow
from orchestrator.operations import Batch, EachOp, StepOp, TransactionOp
from orchestrator.ports import Blobs, Database
from orchestrator.retry import GiveUp, RetryPolicy, decide, error_code
from orchestrator.tally import EachTally, carried, each_result, each_tally, restored


class Settled(msgspec.Struct, frozen=True):
    """What an attempt leads to: the row to store, and the outcome when the operation has one."""

    row: StepRow
    outcome: Outcome | None = None
    #: The attempt moved the job forward, so slices that died before it no longer count.
    advanced: bool = True
    progress: Progress | None = None
    #: Facts that status shows.
    metadata: Mapping[str, object] | None = None
    #: Why the job is to rest until somebody resumes it.
    pause: ErrorRecord | None = None
    #: Event to append, with its data.
    event: tuple[str, object] | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt happens."""

    row: StepRow
    idempotency_key: str
    job_id: str
    database: Callable[[], Database]
    blobs: Callable[[], Blobs]
    now_ms: Callable[[], int]
    random: Callable[[], float]


async def run(op: AnyOp, attempt: Attempt) -> Settled:
    """Run one attempt of a step or transaction, or one batch of a loop."""
    if isinstance(op, EachOp):
        return await _run_each(cast("EachOp[object]", op), attempt)
    if isinstance(op, TransactionOp):
        return await _run_step(op, attempt, _transact(op, attempt))
    step = cast("StepOp[object]", op)
    return await _run_step(step, attempt, step.run)


async def fetch(op: AnyOp, attempt: Attempt) -> Settled:
    """Fetch the recorded result of an operation that a replay has reached and that lies in object storage."""
    reference = attempt.row.value or b""
    data = await large.load(attempt.blobs(), reference)
    return Settled(attempt.row, Success(restored(op, attempt.row.key, data)), advanced=False)


async def _run_step(
    op: StepOp[object] | TransactionOp[object], attempt: Attempt, body: Callable[[], Awaitable[object]]
) -> Settled:
    row = attempt.row
    try:
        what = f"result of {row.key}"
        found = await _outcome(row.key, body)
        data, value = codec.roundtrip(found, op.into, what=what, limit_bytes=MAX_LARGE_VALUE_BYTES)
        if data is not None and len(data) > MAX_VALUE_BYTES:
            data = await large.store(attempt.blobs(), attempt.job_id, data)
    except Exception as error:
        return failed(op.retry, attempt, error)
    done = msgspec.structs.replace(
        row,
        status=StepStatus.COMPLETED,
        finished_at_ms=attempt.now_ms(),
        due_at_ms=None,
        crashes=0,
        value=data,
        error=None,
    )
    return Settled(done, Success(value))  # the journal's line comes with the row


async def _outcome(key: str, body: Callable[[], object]) -> object:
    """Await author code; whatever it raises becomes an error of its own, unless the attempt itself is given up."""
    made = body()
    if type(made) is not CoroutineType and not isinstance(made, Awaitable):
        raise DefinitionError(f"{key}: pass an async def; this function returned {type(made).__name__}")
    try:
        return await cast("Awaitable[object]", made)
    except (asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        name = type(error).__name__
        raise RetryableError(f"{key} raised {name}", code=name) from error


def _transact(op: TransactionOp[object], attempt: Attempt) -> Callable[[], Awaitable[object]]:
    """Return a body that runs the transaction once: its effect key commits with the effect (design.md §6)."""
    key = attempt.idempotency_key

    async def body() -> object:
        async with attempt.database().transaction() as connection:
            # Inserting first waits for an earlier attempt that is still committing, instead of failing on its key.
            ours = await connection.fetchrow(
                "insert into wf.effect (key) values ($1) on conflict do nothing returning key", key
            )
            if ours is None:
                found = await connection.fetchrow("select result from wf.effect where key = $1", key)
                stored = None if found is None else found[0]
                return codec.restore(stored if isinstance(stored, bytes) else None, op.into)
            value = await _outcome(attempt.row.key, lambda: op.body(connection))
            data, _ = codec.roundtrip(value, what=f"result of {attempt.row.key}")
            await connection.execute("update wf.effect set result = $2 where key = $1", key, data)
            return value

    return body


async def _run_each(op: EachOp[object], attempt: Attempt) -> Settled:
    row = attempt.row
    tally = _resized(op, row)
    began_ms = attempt.now_ms()
    try:
        page = await op.source.read(tally.cursor, tally.size)
        batch = Batch(
            page.items,
            tally.batches,
            carried(op.state, tally.state),
            f"{attempt.idempotency_key}:{tally.batches}",
            page,
        )
        state = batch.state
        if page.items or page.done is False:
            state = await _outcome(row.key, lambda: op.body(batch))
        size = _next_size(op, tally, attempt.now_ms() - began_ms)
        tally = _advanced(tally, page.cursor, state, len(page.items), size, done=page.done)
        data = codec.encode(tally, what=f"state of {row.key}")
    except Exception as error:
        return failed(op.retry, attempt, error)
    row = msgspec.structs.replace(row, attempt=1, crashes=0, due_at_ms=None, value=data, error=None, policy=None)
    progress = Progress(tally.items, op.total, op.unit)
    if not tally.done:
        return Settled(msgspec.structs.replace(row, status=StepStatus.RUNNING), progress=progress)
    row = msgspec.structs.replace(row, status=StepStatus.COMPLETED, finished_at_ms=attempt.now_ms())
    return Settled(
        row, Success(each_result(op, data)), progress=progress, event=("step.completed", {"items": tally.items})
    )


def _resized(op: EachOp[object], row: StepRow) -> EachTally:
    """Return the tally with its batch halved once for each slice that this loop killed."""
    tally = each_tally(op, row.value)
    if not row.crashes:
        return tally
    size = max(op.batch.minimum, tally.size >> row.crashes)
    return msgspec.structs.replace(tally, size=size, ceiling=max(op.batch.minimum, size))


def _next_size(op: EachOp[object], tally: EachTally, took_ms: int) -> int:
    """Return the next batch's size. The clock moves only with I/O, so the ceiling is what bounds pure CPU work."""
    if took_ms < BATCH_TARGET_MS:
        return min(tally.ceiling, tally.size * 2)
    if took_ms > 4 * BATCH_TARGET_MS:
        return max(op.batch.minimum, tally.size // 2)
    return tally.size


def _advanced(tally: EachTally, cursor: object, state: object, items: int, size: int, *, done: bool) -> EachTally:
    """Return the tally after a batch."""
    return EachTally(
        cursor=None if done else cursor,
        state=state,
        items=tally.items + items,
        batches=tally.batches + 1,
        size=size,
        ceiling=tally.ceiling,
        done=done,
    )


def failed(policy: RetryPolicy, attempt: Attempt, error: Exception) -> Settled:
    """Return what follows a failed attempt: another one later, or the operation's failure."""
    row, now_ms = unblamed(attempt.row), attempt.now_ms()
    policy = policy if row.policy is None else codec.decode_as(row.policy, RetryPolicy)
    record = error_record(error, step=row.key, attempt=row.attempt)
    decision = decide(policy, attempt=row.attempt, error=error, now_ms=now_ms, random=attempt.random())
    if isinstance(decision, GiveUp):
        if decision.reason == "exhausted" and policy.on_exhausted == "pause":
            # Resumed, the step begins again with all its attempts.
            again = msgspec.structs.replace(row, status=StepStatus.RETRYING, attempt=1, due_at_ms=None, policy=None)
            return Settled(again, advanced=False, pause=record)
        return given_up(row, record, now_ms)
    retrying = msgspec.structs.replace(
        row,
        status=StepStatus.RETRYING,
        attempt=row.attempt + 1,
        due_at_ms=decision.due_at_ms,
        error=codec.encode(record),
        policy=row.policy or codec.encode(policy),
    )
    return Settled(retrying, advanced=False, event=("step.retrying", {"attempt": row.attempt, "error": record.code}))


def unblamed(row: StepRow) -> StepRow:
    """Return a row without the mark that this attempt was made with: it has ended and killed nothing."""
    return msgspec.structs.replace(row, crashes=max(0, row.crashes - 1))


def given_up(row: StepRow, record: ErrorRecord, now_ms: int) -> Settled:
    """Return the end of an operation that failed for good."""
    done = msgspec.structs.replace(
        row, status=StepStatus.FAILED, finished_at_ms=now_ms, due_at_ms=None, error=codec.encode(record)
    )
    event = ("step.failed", {"attempt": row.attempt, "error": record.code})
    return Settled(done, Failure(StepFailedError(record)), event=event)


def error_record(error: BaseException, *, step: str | None = None, attempt: int | None = None) -> ErrorRecord:
    """Return the stored form of an error."""
    if isinstance(error, StepFailedError):
        return error.record
    cause = error.__cause__
    return ErrorRecord(
        code=error_code(error),
        message=text_of(error),
        step=step,
        attempt=attempt,
        cause=None if cause is None else f"{type(cause).__name__}: {text_of(cause)}"[:500],
    )


def text_of(error: BaseException) -> str:
    """Return what an error says: some of it, in characters that can be stored, and something whatever it does."""
    try:
        text = str(error)
    except Exception:
        text = ""
    if len(text) > MAX_ERROR_CHARS:
        text = text[:MAX_ERROR_CHARS] + "…"
    return text.encode("utf-8", "replace").decode() or type(error).__name__
