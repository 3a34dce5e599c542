"""An event as receivers get it: members in the documented order, sources stripped to the known shapes (domain.md §5.2).

The outbox keeps events as jsonb, which knows no order. Nothing here can fail: a row of a form that nobody expected
must neither hold up its event nor the ones behind it (W-15).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from steps.platform.javascript import json_text

Members = Mapping[str, object]

_DOCUMENT = (
    "id", "name", "namespaceId", "organizationId", "status", "source", "totalCharacters", "totalChunks", "totalPages",
    "error", "createdAt", "updatedAt",
)  # fmt: skip
_INGEST_JOB = ("id", "name", "namespaceId", "organizationId", "status", "error", "createdAt", "updatedAt")
_TOTALS = frozenset({"totalCharacters", "totalChunks", "totalPages"})
#: What each kind of source may say beside its type (domain.md §1.8); all texts but the one number.
_SOURCES: Mapping[object, tuple[str, ...]] = MappingProxyType(
    {
        "TEXT": ("text",),
        "FILE": ("fileUrl",),
        "MANAGED_FILE": ("key",),
        "CRAWLED_PAGE": ("title", "description", "language"),
        "YOUTUBE_VIDEO": ("videoId", "duration"),
    }
)
_NUMBER = "duration"


def event_payload(event: str, stored: object, *, text_cut: bool = False) -> dict[str, object]:
    """Return an event of the outbox in the form and order that receivers know.

    Args:
        event: ``document.ready`` and the like.
        stored: the outbox row's payload.
        text_cut: the document's text is longer than webhooks carry; ``textTruncated`` tells the receiver.
    """
    payload = _members(stored)
    data = _members(payload.get("data"))
    is_document = event.startswith("document.")
    ordered = {name: data.get(name) for name in (_DOCUMENT if is_document else _INGEST_JOB)}
    if is_document:
        source = _source(data.get("source"))
        ordered["source"] = {**source, "textTruncated": True} if text_cut else source
        ordered.update({name: data.get(name) or 0 for name in _TOTALS})
    return {"id": payload.get("id"), "event": event, "createdAt": payload.get("createdAt"), "data": ordered}


def body_of(payload: Members) -> bytes:
    """Return the bytes that are sent and signed: the same at every attempt."""
    return json_text(payload).encode()


def _source(stored: object) -> dict[str, object]:
    source = _members(stored)
    kind = source.get("type")
    names = _SOURCES.get(kind, ()) if isinstance(kind, str) else ()
    return {"type": kind, **{name: source[name] for name in names if _fits(name, source.get(name))}}


def _fits(name: str, value: object) -> bool:
    if name == _NUMBER:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str)


def _members(value: object) -> Members:
    return cast("Members", value) if isinstance(value, dict) else {}
