"""Metadata keys that stores need for themselves (W-13).

Turbopuffer keeps metadata beside the row's own ``id``, ``vector`` and ``text``; Pinecone keeps ``text`` among it; both
refuse names that begin with ``$``. The same renaming is used by every store, so readers find the same keys anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from steps.vectors import MetadataValue

#: Renamed by putting ``_`` before them, as often as it takes to find a free name.
RESERVED_KEYS = frozenset({"id", "vector", "text"})


def stored_metadata(metadata: Mapping[str, MetadataValue]) -> dict[str, MetadataValue]:
    """Return the metadata as it is stored: ``id`` becomes ``_id``, ``vector`` ``_vector``, ``text`` ``_text``."""
    stored = {key: value for key, value in metadata.items() if not _reserved(key)}
    for key, value in metadata.items():
        if _reserved(key):
            name = f"_{key}"
            while name in stored:
                name = f"_{name}"
            stored[name] = value
    return stored


def plain_metadata(values: Mapping[str, object]) -> dict[str, MetadataValue]:
    """Return what others have put into metadata as stores take it: no nulls, and nested values as JSON text."""
    return {key: _plain(value) for key, value in values.items() if value is not None}


def _plain(value: object) -> MetadataValue:
    if isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value)):
        return cast("list[str]", value)
    return msgspec.json.encode(value).decode()


def _reserved(key: str) -> bool:
    return key in RESERVED_KEYS or key.startswith("$")
