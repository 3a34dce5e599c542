"""A job's side of its lane: the permit it holds or waits for. A job whose workflow has no lane stores nothing here.

A permit's id is the job's id and epoch, so that asking needs no row of its own: until a slice begins the epoch stays,
and asking again after a crash is the same request. What was granted or is waited for is one row; giving back is an
outbox row in the commit that ends the need.
"""

from __future__ import annotations

import msgspec

from orchestrator import codec
from orchestrator.columns import integer, text
from orchestrator.errors import UnknownWorkflowError
from orchestrator.lane import LanePolicy, PermitRequest, Release
from orchestrator.lifecycle import JobStatus
from orchestrator.limits import LANE_RETRY_MS, OUTBOX_RETRY_MAX_MS
from orchestrator.logs import describe
from orchestrator.mail import OutboxTable
from orchestrator.model import JobOptions, JobRow
from orchestrator.ports import Platform, Sql
from orchestrator.workflow import Registry


class Ticket(msgspec.Struct, frozen=True):
    """A permit held or waited for."""

    lane: str
    permit_id: str
    held: bool
    #: Why it was not granted when the job asked.
    reason: str = ""
    due_at_ms: int | None = None


class Tickets:
    """The one ticket of a job; its table is made when a lane is first asked."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._exists: bool | None = None

    def get(self) -> Ticket | None:
        """Return the ticket."""
        if self._exists is None:
            self._exists = bool(self._sql.execute("select 1 from sqlite_master where name = 'lane_ticket'"))
        if not self._exists:
            return None
        rows = self._sql.execute("select lane, permit_id, held, reason, due_at_ms from lane_ticket")
        if not rows:
            return None
        lane, permit_id, held, reason, due_at_ms = rows[0]
        return Ticket(
            text(lane),
            text(permit_id),
            held == 1,
            "" if reason is None else text(reason),
            None if due_at_ms is None else integer(due_at_ms),
        )

    def put(self, ticket: Ticket) -> None:
        """Store the ticket over an older one."""
        if not self._exists:
            self._sql.execute(
                """create table if not exists lane_ticket (
                id integer primary key check (id = 1), lane text, permit_id text, held integer, reason text,
                due_at_ms integer)"""
            )
            self._exists = True
        self._sql.execute(
            """insert into lane_ticket (id, lane, permit_id, held, reason, due_at_ms) values (1, ?, ?, ?, ?, ?)
            on conflict (id) do update set lane = excluded.lane, permit_id = excluded.permit_id, held = excluded.held,
            reason = excluded.reason, due_at_ms = excluded.due_at_ms""",
            ticket.lane,
            ticket.permit_id,
            int(ticket.held),
            ticket.reason or None,
            ticket.due_at_ms,
        )

    def remove(self) -> None:
        """Forget the ticket."""
        self._sql.execute("delete from lane_ticket")

    def forget(self) -> None:
        """Take note that the table is about to go."""
        self._exists = None

    def give_back(self, outbox: OutboxTable, now_ms: int) -> None:
        """Have the permit given back by the outbox, in the commit that ends the need for it."""
        ticket = self.get()
        if ticket is not None:
            self.remove()
            outbox.add("lane", codec.encode(Release(ticket.lane, ticket.permit_id)), now_ms)


class Admission:
    """Asks a job's lane before a slice, and takes the permit when it comes later.

    Args:
        platform: the ports.
        registry: the workflows known.
        tickets: the job's ticket.
        outbox: the job's outbox.
    """

    def __init__(self, platform: Platform, registry: Registry, tickets: Tickets, outbox: OutboxTable) -> None:
        self._platform = platform
        self._registry = registry
        self._tickets = tickets
        self._outbox = outbox
        self._failures = 0

    def lane_of(self, job: JobRow) -> LanePolicy | None:
        """Return the lane of the job's workflow."""
        try:
            return self._registry.get(job.workflow).options.lane
        except UnknownWorkflowError:
            return None  # the slice says so

    def holds(self) -> bool:
        """Tell whether the job has its permit."""
        ticket = self._tickets.get()
        return ticket is not None and ticket.held

    async def ask(self, job: JobRow, lane: LanePolicy) -> Ticket:
        """Ask the lane; return where that led, not stored yet. A lane that does not answer is asked again later."""
        permit_id = permit_id_of(job)
        request = self._request(job, permit_id)
        try:
            answer = await self._platform.network.request_permit(lane, request)
        except Exception as error:
            self._failures += 1
            wait_ms = min(OUTBOX_RETRY_MAX_MS, LANE_RETRY_MS * 2 ** min(self._failures - 1, 10))
            fields = {"job_id": job.job_id, "lane": lane.name, "error": describe(error)}
            self._platform.log("warning", "lane.unreachable", fields)
            due_at_ms = self._platform.clock.now_ms() + wait_ms
            return Ticket(lane.name, permit_id, held=False, reason="lane does not answer", due_at_ms=due_at_ms)
        self._failures = 0
        return Ticket(lane.name, permit_id, answer.granted, answer.reason)

    def accept(self, job: JobRow, permit_id: str) -> bool:
        """Take a permit that the lane hands over, unless the job has no use for it."""
        ticket = self._tickets.get()
        if ticket is not None and ticket.permit_id == permit_id:
            if not ticket.held:
                self._tickets.put(Ticket(ticket.lane, permit_id, held=True))
            return True
        lane = self.lane_of(job)
        if job.status is JobStatus.CANCELLING:
            return False  # its end waits for nobody, and what it had asked for is given back
        if ticket is not None or lane is None or permit_id != permit_id_of(job):
            return False
        # The lane is quicker than its own answer to the request, or that answer was lost.
        self._tickets.put(Ticket(lane.name, permit_id, held=True))
        return True

    @staticmethod
    def _request(job: JobRow, permit_id: str) -> PermitRequest:
        options = codec.decode_as(job.options, JobOptions)
        return PermitRequest(
            permit_id=permit_id,
            job_id=job.job_id,
            keys=dict(options.lane_keys),
            priority=options.priority,
            since_ms=job.created_at_ms + options.delay_ms,
        )


def permit_id_of(job: JobRow) -> str:
    """Return the id of the permit for the job's next slice."""
    return f"{job.job_id}:{job.epoch}"


def waits_for_lane(job: JobRow, tickets: Tickets) -> bool:
    """Tell whether nothing but its lane keeps the job from running."""
    if job.status is not JobStatus.WAITING:
        return False
    ticket = tickets.get()
    return ticket is not None and not ticket.held
