"""Queue consumers: hand a job over to its own object, and nothing more (design.md §4.6).

A message is acknowledged or retried by itself and nothing is ever raised: what is raised here would redeliver messages
that were done (platform.md §2.3). Duplicates and any order are harmless, since ``dispatch`` only starts what waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from durable.turns import in_turns
from orchestrator.errors import RequestError
from orchestrator.ids import is_job_id
from orchestrator.lifecycle import JobStatus
from orchestrator.logs import describe
from orchestrator.model import DeadLetter
from orchestrator.ports import Clock

#: The first pause before a message is delivered again, doubling to the maximum, in seconds.
RETRY_S = 2
RETRY_MAX_S = 600
#: Messages of a batch that are handed over at the same time.
CONCURRENCY = 10
#: Characters of an unreadable message that its dead letter keeps.
_KEPT_CHARS = 2_000


class QueueMessage(Protocol):
    """One message of a batch."""

    @property
    def id(self) -> str:
        """The queue's id of the message; a redelivery has the same one."""
        ...

    @property
    def attempts(self) -> int:
        """Deliveries so far, this one included."""
        ...

    @property
    def body_json(self) -> str:
        """The body as JSON."""
        ...

    def ack(self) -> None:
        """Take the message off the queue."""
        ...

    def retry(self, delay_s: int) -> None:
        """Have the message delivered again later."""
        ...


class ConsumerPort(Protocol):
    """What a consumer does to the outside."""

    async def dispatch(self, job_id: str) -> JobStatus:
        """Start a queued job; one that was started already is left alone."""
        ...

    async def add_dead_letter(self, letter: DeadLetter) -> None:
        """Keep a dead letter; the first of an id stays."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


class _Body(msgspec.Struct, frozen=True):
    id: str


async def consume(queue: str, messages: Sequence[QueueMessage], port: ConsumerPort, clock: Clock) -> None:
    """Hand the jobs of a batch over to their objects; never raises.

    Args:
        queue: the queue's name.
        messages: the batch.
        port: what is done to the outside.
        clock: dates the dead letters.
    """
    await _each(messages, lambda message: _hand_over(queue, message, port, clock), port)


async def consume_dead(messages: Sequence[QueueMessage], port: ConsumerPort, clock: Clock) -> None:
    """Record what the other queues gave up on, and poke the jobs, so that none is lost; never raises."""
    await _each(messages, lambda message: _bury(message, port, clock), port)


class _Handle(Protocol):
    async def __call__(self, message: QueueMessage, /) -> None: ...


async def _each(messages: Sequence[QueueMessage], handle: _Handle, port: ConsumerPort) -> None:
    async def one(message: QueueMessage) -> None:
        try:
            await handle(message)
        except Exception as error:
            fields = {"message_id": message.id, "attempt": message.attempts, "error": describe(error)}
            port.log("warning", "message.retried", fields)
            message.retry(retry_delay_s(message.attempts))
        else:
            message.ack()

    await in_turns(messages, one, at_once=CONCURRENCY)


async def _hand_over(queue: str, message: QueueMessage, port: ConsumerPort, clock: Clock) -> None:
    job_id = job_id_of(message.body_json)
    if job_id is None:
        letter = _letter(message, clock, None, f"malformed_message: not a job's id (queue {queue})")
        port.log("error", "message.malformed", {"message_id": message.id, "queue": queue})
        await port.add_dead_letter(letter)
        return
    try:
        await port.dispatch(job_id)
    except RequestError as error:
        # The object will never take it: it does not know the job.
        port.log("error", "message.refused", {"message_id": message.id, "job_id": job_id, "error": error.error_code})
        await port.add_dead_letter(_letter(message, clock, job_id, f"{error.error_code}: {error} (queue {queue})"))


async def _bury(message: QueueMessage, port: ConsumerPort, clock: Clock) -> None:
    job_id = job_id_of(message.body_json)
    cause = "malformed_message: not a job's id"
    failure: Exception | None = None
    if job_id is not None:
        cause = "delivery_exhausted: its queue gave up on handing the job over"
        try:
            status = await port.dispatch(job_id)
            cause = f"{cause}; the job is {status} now"
        except RequestError as error:
            cause = f"{error.error_code}: {error}"
        except Exception as error:
            failure = error
            cause = f"{cause}; it still does not answer ({describe(error)})"
    port.log("error", "message.dead", {"message_id": message.id, "job_id": job_id, "cause": cause})
    await port.add_dead_letter(_letter(message, clock, job_id, cause))
    if failure is not None:
        # Recorded, and kept: the job is poked until its object answers.
        raise failure


def job_id_of(body_json: str) -> str | None:
    """Return the job's id in a message, or None when it is not one of ours."""
    try:
        job_id = msgspec.json.decode(body_json, type=_Body).id
    except (msgspec.MsgspecError, RecursionError):
        return None
    return job_id if is_job_id(job_id) else None


def retry_delay_s(attempts: int) -> int:
    """Return the pause before the next delivery, in seconds."""
    return min(RETRY_MAX_S, RETRY_S * 2 ** min(max(attempts - 1, 0), 16))


def _letter(message: QueueMessage, clock: Clock, job_id: str | None, cause: str) -> DeadLetter:
    detail = {"message_id": message.id, "attempts": message.attempts, "body": message.body_json[:_KEPT_CHARS]}
    return DeadLetter(
        id=f"message:{message.id}",
        kind="message",
        job_id=job_id,
        workflow=None,
        cause=cause[:500],
        at_ms=clock.now_ms(),
        detail=detail,
    )
