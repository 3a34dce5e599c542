"""When a delivery that failed is tried again. Pure."""

from __future__ import annotations

from steps.webhooks.settings import UnreachablePolicy

#: Attempts in all, the first included.
MAX_ATTEMPTS = 10
#: 12 s, 2 min 24 s, 28 min 48 s, 5 h 45 min 36 s, then a day each: 5.26 days in all (domain.md §5.4).
_FIRST_WAIT_MS, _FACTOR, _LONGEST_WAIT_MS = 12_000, 12, 86_400_000
#: The platform gave up on a receiver that it could not reach after three attempts, 1 to 2 s and 2 to 4 s apart (W-25).
_BRIEF_ATTEMPTS = 3


def next_wait_ms(attempt: int, *, unreachable: bool, policy: UnreachablePolicy, random: float) -> int | None:
    """Return how long to wait after a failed attempt, or None to give up.

    Args:
        attempt: 1-based.
        unreachable: no answer came.
        policy: what then follows.
        random: in [0, 1), for the brief waits.
    """
    if unreachable and policy == "brief":
        return None if attempt >= _BRIEF_ATTEMPTS else round(1_000 * 2 ** (attempt - 1) * (1 + random))
    if attempt >= MAX_ATTEMPTS:
        return None
    return min(_LONGEST_WAIT_MS, _FIRST_WAIT_MS * _FACTOR ** (attempt - 1))
