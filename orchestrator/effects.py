"""The ledger of database effects, ``wf.effect``: one row per transaction that has happened (design.md §6).

Its rows live as long as their job. They must not live longer: an idempotency key that means a new job after the old one
was deleted means the same job id, and the new job's transactions would find the old one's rows and do nothing.
"""

from __future__ import annotations

import msgspec

from orchestrator import codec
from orchestrator.meter import account_of
from orchestrator.model import JobRow
from orchestrator.ports import Connection


def has_some(job: JobRow) -> bool:
    """Tell whether a job may have rows in the ledger."""
    return account_of(job).effects


def announce(job: JobRow) -> bool:
    """Note that the job is going to have some; tell whether the job's row is to be stored, before the first of them."""
    account = account_of(job)
    if account.effects:
        return False
    job.account = codec.encode(msgspec.structs.replace(account, effects=True))
    return True


async def forget(connection: Connection, job_id: str) -> None:
    """Remove a job's rows."""
    await connection.execute("delete from wf.effect where split_part(key, ':', 1) = $1", job_id)
