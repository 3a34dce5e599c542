"""Retry policies and the pure decision they make."""

from __future__ import annotations

from typing import Literal

import msgspec

from orchestrator.errors import DefinitionError, OrchestratorError, RetryableError


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how soon a failed step is tried again.

    The defaults are those of the jobs this project replaces (domain.md §0.5): 3 attempts, 1 s doubling to 10 s.
    """

    #: Tries in all, the first included.
    max_attempts: int = 3
    #: Wait before the second attempt, in ms.
    initial_interval_ms: int = 1_000
    #: Each wait is this many times the one before.
    backoff_coefficient: float = 2.0
    #: No wait is longer, in ms.
    max_interval_ms: int = 10_000
    #: ``equal``: half fixed, half random; ``full``: all random; ``none``.
    jitter: Literal["equal", "full", "none"] = "equal"
    #: Error codes that end the step at once.
    non_retryable: tuple[str, ...] = ()
    #: After the last attempt: ``fail`` the step, or ``pause`` the job until somebody has mended the cause.
    on_exhausted: Literal["fail", "pause"] = "fail"

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise DefinitionError("max_attempts counts the first try, so it is at least 1")
        if self.initial_interval_ms < 0 or self.max_interval_ms < self.initial_interval_ms:
            raise DefinitionError("intervals are 0 <= initial_interval_ms <= max_interval_ms")
        if self.backoff_coefficient < 1:
            raise DefinitionError("backoff_coefficient is at least 1")


NO_RETRY = RetryPolicy(max_attempts=1)


class RetryAt(msgspec.Struct, frozen=True):
    """Try again at ``due_at_ms``."""

    due_at_ms: int


class GiveUp(msgspec.Struct, frozen=True):
    """Do not try again."""

    reason: Literal["exhausted", "non_retryable"]


def error_code(error: BaseException) -> str:
    """Return the stable code of an error: its own, or its class name for foreign ones."""
    return error.error_code if isinstance(error, OrchestratorError) else type(error).__name__


def decide(policy: RetryPolicy, *, attempt: int, error: Exception, now_ms: int, random: float) -> RetryAt | GiveUp:
    """Decide what follows a failed attempt.

    Args:
        policy: the step's policy.
        attempt: the attempt that failed, 1-based.
        error: what it raised. A ``RetryableError`` may ask for its own wait.
        now_ms: the time now.
        random: a number in [0, 1).
    """
    non_retryable = isinstance(error, OrchestratorError) and not error.retryable
    if non_retryable or error_code(error) in policy.non_retryable:
        return GiveUp("non_retryable")
    if attempt >= policy.max_attempts:
        return GiveUp("exhausted")
    if isinstance(error, RetryableError) and error.retry_after_ms is not None:
        return RetryAt(now_ms + max(1, error.retry_after_ms))
    return RetryAt(now_ms + max(1, round(backoff_ms(policy, attempt=attempt, random=random))))


def backoff_ms(policy: RetryPolicy, *, attempt: int, random: float) -> float:
    """Return the wait after ``attempt`` failed, in ms."""
    # The exponent is clamped: 2.0 ** 1100 overflows a float long before the cap would apply.
    grown = policy.initial_interval_ms * policy.backoff_coefficient ** min(attempt - 1, 64)
    wait = min(float(policy.max_interval_ms), grown)
    if policy.jitter == "none":
        return wait
    floor = wait / 2 if policy.jitter == "equal" else 0.0
    return floor + (wait - floor) * random
