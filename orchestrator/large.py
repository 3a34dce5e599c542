"""Values too large for a row: stored as objects by content hash, before the row that names them (design.md §4.8)."""

from __future__ import annotations

import hashlib

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.ports import Blobs

_REFERENCE = b"\x02"


class _Reference(msgspec.Struct, frozen=True, array_like=True):
    key: str
    size_bytes: int


def prefix(job_id: str) -> str:
    """Return what the keys of a job's large values begin with."""
    return f"jobs/{job_id}/values/"


async def store(blobs: Blobs, job_id: str, data: bytes) -> bytes:
    """Store an encoded value as an object; return the reference that its row holds. Repeating it changes nothing."""
    key = prefix(job_id) + hashlib.sha256(data).hexdigest()
    await blobs.put(key, data)
    return _REFERENCE + msgspec.msgpack.encode(_Reference(key, len(data)))


def is_reference(data: bytes | None) -> bool:
    """Tell whether a row holds a reference instead of a value."""
    return data is not None and data[:1] == _REFERENCE


def key_of(reference: bytes) -> str:
    """Return the key of the object that a reference names."""
    return msgspec.msgpack.decode(memoryview(reference)[1:], type=_Reference).key


async def load(blobs: Blobs, reference: bytes) -> bytes:
    """Return the encoded value that a reference names.

    Raises:
        OrchestratorError: the object is gone or was changed (code ``large_value_lost``).
    """
    found = msgspec.msgpack.decode(memoryview(reference)[1:], type=_Reference)
    data = await blobs.get(found.key)
    if data is None or not found.key.endswith(hashlib.sha256(data).hexdigest()):
        raise OrchestratorError(f"The object {found.key} is not what was stored", code="large_value_lost")
    return data
