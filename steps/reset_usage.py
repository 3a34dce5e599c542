"""``reset-usage``: begins the billing cycles of organizations, every day at noon UTC (domain.md §2.11)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from orchestrator import Batch, BatchSize, JobContext, Page, Schedule, WorkflowOptions, current_step, workflow
from steps.document import DATABASE_RETRY
from steps.platform import usage
from steps.platform.usage import Checked
from steps.services import services

#: Organizations looked at per transaction.
BATCH = BatchSize(initial=100, minimum=1, maximum=400)
#: The platform leaves alone who was checked in the last half day.
HALF_DAY = timedelta(hours=12)

#: A missed noon is made up for within a week; after that the next noon does it.
reset_usage_schedule = Schedule(
    id="reset-usage",
    workflow="reset-usage",
    cron="0 12 * * *",
    time_field="plannedAt",
    catch_up="latest",
    catch_up_ms=7 * 86_400_000,
)


class ResetUsagePayload(BaseModel):
    """The time that the check is for; now when left out."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        frozen=True,
        json_schema_extra={"examples": [{"plannedAt": "2026-11-15T12:00:00.000Z"}]},
    )

    planned_at: AwareDatetime | None = None


@workflow("reset-usage", options=WorkflowOptions(retry=DATABASE_RETRY))
async def reset_usage(job: JobContext, payload: ResetUsagePayload) -> None:
    """Walk the organizations that were not checked since, and begin the cycles that are due."""
    planned_at = payload.planned_at or job.now()
    look = partial(check, planned_at)
    await job.each("organizations", Unchecked(planned_at), look, state=None, batch=BATCH, unit="organizations")


class Unchecked:
    """Organizations that were not checked since a planned time. Implements ``Source``.

    Args:
        planned_at: the time.
    """

    def __init__(self, planned_at: datetime) -> None:
        self._planned_at = planned_at

    async def read(self, cursor: object, limit: int, /) -> Page[Checked]:
        """Return the next organizations; the cursor is the last one's id."""
        after = cursor if isinstance(cursor, str) else ""
        found = await usage.organizations_after(services().database(), _since(self._planned_at), after, limit)
        return Page(found, found[-1].id if found else after, done=len(found) < limit)


async def check(planned_at: datetime, batch: Batch[Checked, None]) -> None:
    """Begin the cycles of those organizations whose cycle is over."""
    begins = usage.begins_cycle if _catches_up() else usage.is_cycle_day
    at = planned_at.astimezone(UTC)
    resets = [organization.id for organization in batch.items if begins(organization, at)]
    others = [organization.id for organization in batch.items if organization.id not in resets]
    async with services().database().transaction() as connection:
        await usage.check(connection, at, _since(planned_at), resets, others)
    current_step().log("Cycles begun", organizations=len(resets))


def _since(planned_at: datetime) -> datetime:
    """Return the time since when a check counts for this one."""
    return planned_at if _catches_up() else planned_at - HALF_DAY


def _catches_up() -> bool:
    return services().settings.platform.usage_reset == "catch_up"
