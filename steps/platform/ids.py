"""Ids that are functions of what they identify, so that a replay uses the same ones."""

from __future__ import annotations

import base64
import hashlib

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_SEPARATOR = "\x1f"
#: A document id is as long as the platform's own, and ``<documentId>#<chunk uuid>`` then takes 62 of the 64 bytes that
#: Turbopuffer allows (domain.md §0.3).
DOCUMENT_ID_CHARS = 25
_FAMILY_CHARS, _INDEX_CHARS, _CHECK_CHARS = 10, 6, 8
#: Items of an ingest job that ids can tell apart: six base-36 digits.
MAX_DOCUMENTS = 36**_INDEX_CHARS
_EVENT_CHARS = 25


def document_id(ingest_job_id: str, index: int) -> str:
    """Return the id of an ingest job's ``index``-th document.

    ``c``, ten characters of the ingest job, six of the index, eight that cannot be guessed from a neighbour. The ids of
    an ingest job are therefore neighbours and sorted by index, which makes walking them a range of the primary key.

    Args:
        ingest_job_id: the ``ingest_job`` row.
        index: 0-based position in its payload.
    """
    if not 0 <= index < MAX_DOCUMENTS:
        raise ValueError(f"an ingest job has at most {MAX_DOCUMENTS} documents")
    check = _base36(_digest("document", ingest_job_id, str(index)), _CHECK_CHARS)
    return _family(ingest_job_id) + _base36(index, _INDEX_CHARS) + check


def document_id_range(ingest_job_id: str) -> tuple[str, str]:
    """Return a lower and an upper bound of the ids that :func:`document_id` gives an ingest job; both inclusive."""
    family = _family(ingest_job_id)
    tail_chars = _INDEX_CHARS + _CHECK_CHARS
    return family + "0" * tail_chars, family + "z" * tail_chars


def demo_job_id(namespace_id: str, template_id: str) -> str:
    """Return the id of the ingest job that a namespace's demo data come from: seeding twice makes one."""
    return "c" + _base36(_digest("demo", namespace_id, template_id), DOCUMENT_ID_CHARS - 1)


def event_id(run_id: str, event: str, subject_id: str) -> str:
    """Return the id of an event for the outside world: the same in every replay of the run (domain.md §5.6).

    Args:
        run_id: the orchestrator's job that announces it.
        event: ``document.ready`` and the like; a run announces each once per subject.
        subject_id: the row it is about.
    """
    digest = hashlib.sha256(_SEPARATOR.join(("event", run_id, event, subject_id)).encode()).digest()
    return "evt_" + base64.urlsafe_b64encode(digest).decode()[:_EVENT_CHARS]


def _family(ingest_job_id: str) -> str:
    return "c" + _base36(_digest("documents", ingest_job_id), _FAMILY_CHARS)


def _digest(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256(_SEPARATOR.join(parts).encode()).digest(), "big")


def _base36(number: int, chars: int) -> str:
    """Return the last ``chars`` base-36 digits of a number."""
    digits: list[str] = []
    for _ in range(chars):
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return "".join(reversed(digits))
