"""What the platform asks for a unit of each thing, beyond what a plan includes.

Workers Paid, in US dollars, as published in November 2026:
https://developers.cloudflare.com/durable-objects/platform/pricing/,
https://developers.cloudflare.com/queues/platform/pricing/, https://developers.cloudflare.com/r2/pricing/.
"""

from __future__ import annotations

from typing import Final

from orchestrator.meter import Usage

_MILLION: Final = 1_000_000
#: A call to an object, or a run of its alarm.
REQUEST: Final = 0.15 / _MILLION
#: A second of an object in memory: 128 MB at $12.50 per million GB-s.
ACTIVE_SECOND: Final = 0.128 * 12.50 / _MILLION
ROW_READ: Final = 0.001 / _MILLION
#: Setting the alarm writes a row, too.
ROW_WRITTEN: Final = 1.00 / _MILLION
GIGABYTE_MONTH: Final = 0.20
QUEUE_OPERATION: Final = 0.40 / _MILLION
#: Class A and class B operations of R2.
BLOB_WRITE: Final = 4.50 / _MILLION
BLOB_READ: Final = 0.36 / _MILLION

_GIGABYTE: Final = 1_000_000_000
_MONTH_MS: Final = 30 * 86_400_000


def estimate_usd(usage: Usage, *, rows_written: int, storage_bytes: int, kept_ms: int) -> float:
    """Return about what a job costs: calls that came to it, its rows and its time, and its storage while it is kept.

    Calls to other objects are billed where they arrive; HTTP, CPU and what a plan includes are not counted.
    """
    return (
        REQUEST * (usage.requests + usage.alarms_fired)
        + ACTIVE_SECOND * usage.active_ms / 1_000
        + ROW_READ * usage.rows_read
        + ROW_WRITTEN * (rows_written + usage.alarms_set)
        + QUEUE_OPERATION * usage.queue_operations
        + BLOB_WRITE * usage.blob_writes
        + BLOB_READ * usage.blob_reads
        + GIGABYTE_MONTH * storage_bytes / _GIGABYTE * kept_ms / _MONTH_MS
    )
