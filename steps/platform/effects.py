"""Rows of ``wf.effect`` that belong to no job, such as what was reported for which billing period: kept long enough.

A job's own rows go with the job.
"""

from __future__ import annotations

from orchestrator.ports import Connection

#: Longer than anything that may still be repeated: a billing period and its corrections, a webhook's deliveries, a run.
KEPT_DAYS = 400
#: Rows that one round removes, so that a round stays short.
ROWS_PER_ROUND = 1_000


async def forget_old_effects(connection: Connection) -> int:
    """Remove the oldest rows that are older than anybody needs; return how many."""
    tag = await connection.execute(
        """delete from wf.effect where key in (
            select key from wf.effect
            where applied_at < now() - make_interval(days => $1) and left(key, 4) <> 'run_'
            order by applied_at limit $2)""",
        KEPT_DAYS,
        ROWS_PER_ROUND,
    )
    return int(tag.split()[-1])
