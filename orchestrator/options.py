"""What a job's options may say together."""

from __future__ import annotations

from orchestrator.errors import ContradictionError, InvalidRequestError
from orchestrator.limits import DEBOUNCE_MAX_TIMES, MAX_DELAY_MS, MAX_IDEMPOTENCY_KEY_CHARS, MAX_TAG_CHARS, MAX_TAGS
from orchestrator.model import JobOptions

_DURATIONS = (
    "idempotency_window_ms",
    "retention_ms",
    "delay_ms",
    "debounce_ms",
    "debounce_max_ms",
    "ttl_ms",
    "max_duration_ms",
)


def check(options: JobOptions) -> None:
    """Refuse options that cannot all be meant, and those out of bounds.

    Raises:
        ContradictionError: two of them exclude each other, or one says nothing without another.
        InvalidRequestError: one of them is out of bounds.
    """
    for name in _DURATIONS:
        if not 0 <= getattr(options, name) <= MAX_DELAY_MS:
            raise InvalidRequestError(f"{name} is between 0 and {MAX_DELAY_MS} (a year)")
    if len(options.tags) > MAX_TAGS or not all(0 < len(tag) <= MAX_TAG_CHARS for tag in options.tags):
        raise InvalidRequestError(f"A job has at most {MAX_TAGS} tags of 1 to {MAX_TAG_CHARS} characters")
    key = options.idempotency_key
    if key is not None and not 0 < len(key) <= MAX_IDEMPOTENCY_KEY_CHARS:
        raise InvalidRequestError(f"An idempotency key has 1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters")
    if key is None and (options.idempotency_window_ms or options.idempotency_on_ended != "return"):
        raise ContradictionError("An idempotency policy needs an idempotency key")
    _check_debounce(options)
    if 0 < options.ttl_ms <= max(options.delay_ms, options.debounce_ms):
        raise ContradictionError("The job would expire (ttl) before it may start (delay or debounce)")


def _check_debounce(options: JobOptions) -> None:
    if not options.debounce_ms:
        if options.debounce_max_ms:
            raise ContradictionError("A longest wait (debounce_max) needs a debounce")
        return
    if options.idempotency_key is None:
        raise ContradictionError("A debounce needs an idempotency key: it says which calls are one job")
    if options.delay_ms:
        raise ContradictionError("A debounce is a delay of its own: give one of them")
    if options.idempotency_window_ms or options.idempotency_on_ended != "return":
        raise ContradictionError("A debounced key means a new job once its job has started: it takes no other policy")
    if 0 < options.debounce_max_ms < options.debounce_ms:
        raise ContradictionError("The longest wait (debounce_max) is no shorter than the debounce")


def debounced_until_ms(options: JobOptions, created_at_ms: int, now_ms: int) -> int:
    """Return when a debounced job starts after a call that came now."""
    longest_ms = options.debounce_max_ms or DEBOUNCE_MAX_TIMES * options.debounce_ms
    return min(now_ms + options.debounce_ms, created_at_ms + longest_ms)
