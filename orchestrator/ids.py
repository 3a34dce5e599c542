"""Job ids and step keys: how they are made and what they may contain."""

from __future__ import annotations

import hashlib

from orchestrator.errors import InvalidRequestError
from orchestrator.limits import MAX_NAME_CHARS
from orchestrator.ports import Clock, Entropy

JOB_ID_PREFIX = "run_"
ULID_RANDOM_BYTES = 10
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_SEPARATOR = "\x1f"


def new_job_id(clock: Clock, entropy: Entropy) -> str:
    """Return a fresh job id: ``run_`` and a ULID."""
    return JOB_ID_PREFIX + ulid(clock.now_ms(), entropy.random_bytes(ULID_RANDOM_BYTES))


def ulid(at_ms: int, random: bytes) -> str:
    """Return 48 bits of time and 80 of randomness (https://github.com/ulid/spec), in lower case; they sort by time."""
    return _base32((at_ms << 80) | int.from_bytes(random, "big"))


def derived_job_id(*parts: str) -> str:
    """Return the job id that these parts always give: ``run_`` and 128 bits of their SHA-256."""
    digest = hashlib.sha256(_SEPARATOR.join(parts).encode()).digest()
    return JOB_ID_PREFIX + _base32(int.from_bytes(digest[:16], "big"))


def child_job_id(parent_id: str, generation: int, operation: str, key: str) -> str:
    """Return the id of a child of a fan-out: the parent's id, how often it was retried, the operation and the key."""
    return derived_job_id("child", parent_id, str(generation), operation, key)


def is_job_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a job id."""
    body = text.removeprefix(JOB_ID_PREFIX)
    return len(body) == 26 and body != text and all(char in _CROCKFORD for char in body)


def checked_name(name: str, *, what: str = "name") -> str:
    """Return ``name`` if it may name a step, key or event.

    Raises:
        InvalidRequestError: empty, too long, or with control characters (code ``invalid_name``).
    """
    if not name or len(name) > MAX_NAME_CHARS or not name.isprintable():
        detail = f"A {what} has 1 to {MAX_NAME_CHARS} printable characters; got {name[:40]!r}"
        raise InvalidRequestError(detail, code="invalid_name")
    return name


def step_key(name: str, *, occurrence: int, key: str | None, scope: str = "") -> str:
    """Return the identity of an operation: ``name``, ``name#2`` for the second use, or ``name[key]``."""
    if key is not None:
        return f"{scope}{name}[{key}]"
    return f"{scope}{name}" if occurrence == 1 else f"{scope}{name}#{occurrence}"


def _base32(number: int) -> str:
    chars: list[str] = []
    for _ in range(26):
        number, digit = divmod(number, 32)
        chars.append(_CROCKFORD[digit])
    return "".join(reversed(chars))
