"""How long what must happen is tried, where nobody is served by giving up soon."""

from __future__ import annotations

from orchestrator import RetryPolicy

#: What was left behind must go, so a service that is down is waited for: about an hour.
CLEANUP_RETRY = RetryPolicy(max_attempts=18, max_interval_ms=300_000)
