"""Queues of a simulation: at least once, in any order, sometimes not at all (platform.md §2.2, §2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from orchestrator.errors import RetryableError

if TYPE_CHECKING:
    from orchestrator.testing.simulation import Simulation

#: Deliveries after the first, before a message goes to the dead letter queue; fewer than wrangler.toml has, so that
#: messages get there. That queue's consumer has as many more.
MAX_RETRIES = 10
#: A message is under way this long, and a delayed one up to this long.
DELIVERY_MS, DELAYED_MS = 1_000, 60_000


class Message:
    """One message, as its consumer sees it."""

    def __init__(self, queue: str, number: int, job_id: str) -> None:
        self.queue = queue
        self.id = f"message-{number}"
        self.attempts = 0
        self.is_dead = False
        self.body_json = msgspec.json.encode({"id": job_id}).decode()
        self.begin()

    def begin(self) -> None:
        """Take note that a delivery begins."""
        #: When the consumer wants it again, in seconds; the first word about a message counts.
        self.again_s: int | None = None
        self._is_settled = False

    def ack(self) -> None:
        """Take the message off the queue."""
        self._is_settled = True

    def retry(self, delay_s: int) -> None:
        """Have the message delivered again later."""
        if not self._is_settled:
            self._is_settled = True
            self.again_s = delay_s


class Queues:
    """All queues, and their dead letter queue.

    Args:
        simulation: whose consumers they call.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._sent = 0
        self.max_retries = MAX_RETRIES
        #: Deliveries that are still to come.
        self.under_way = 0
        #: Jobs whose messages nobody can handle.
        self.dead: list[str] = []

    def send(self, queue: str, job_id: str) -> None:
        """Take a message.

        Raises:
            RetryableError: the queue does not.
        """
        plan = self._simulation.plan
        if plan.strikes("queue_refuses", queue):
            raise RetryableError("The queue took no message", code="queue_unavailable")
        self._sent += 1
        alarms = self._simulation.alarms
        # A message that only the platform's restart loses, and the alarm beside it: not both (decisions/0060).
        if job_id not in alarms.lost and plan.strikes("queue_loses", queue):
            alarms.kept.add(job_id)
            return
        for _ in range(2 if plan.strikes("queue_repeats", queue) else 1):
            # Each on its own way: what was sent later may come first.
            message = Message(queue, self._sent, job_id)
            self._later(message, DELIVERY_MS * plan.draw("delivery", message.id, _))

    def _later(self, message: Message, delay_ms: float) -> None:
        plan = self._simulation.plan
        if plan.strikes("queue_delays", message.queue):
            delay_ms += DELAYED_MS * plan.draw("delayed", message.id, message.attempts)
        loop = self._simulation.loop
        self.under_way += 1
        loop.call_later(delay_ms / 1000, lambda: self._simulation.go(self._deliver(message)))

    async def _deliver(self, message: Message) -> None:
        self.under_way -= 1
        message.attempts += 1
        message.begin()
        if message.is_dead:
            await self._simulation.backstage.consume_dead(message)
        else:
            await self._simulation.backstage.consume(message.queue, message)
        if self._simulation.plan.strikes("consumer_throws", message.queue):
            # What was acknowledged comes again all the same (platform.md §2.3).
            message.again_s = message.again_s or 0
        if message.again_s is None:
            return
        if message.attempts > self.max_retries:
            if message.is_dead:
                return
            # The dead letter queue counts anew.
            message.is_dead, message.attempts, message.again_s = True, 0, 0
        self._later(message, 1000 * message.again_s)
