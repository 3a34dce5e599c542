"""How long what must happen is tried, where nobody is served by giving up soon."""

from __future__ import annotations

from orchestrator import RetryPolicy

#: What was left behind must go, so a service that is down is waited for: about an hour.
CLEANUP_RETRY = RetryPolicy(max_attempts=18, max_interval_ms=300_000)
#: A row that says that somebody works on it must say so no longer when nobody does: the platform refuses every further
#: request for it (W-01, W-02). A database that is away is waited for: about a day.
ROW_RETRY = RetryPolicy(max_attempts=60, max_interval_ms=1_800_000)
