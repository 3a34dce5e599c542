"""How values become bytes: MessagePack behind one format-version byte."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

from orchestrator.errors import ValueNotEncodableError, ValueTooLargeError
from orchestrator.limits import MAX_PAYLOAD_BYTES, MAX_VALUE_BYTES

T = TypeVar("T")

_VERSION = b"\x01"
_ATOMS = (str, int, float, bool, bytes, type(None))
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[object] = msgspec.msgpack.Decoder()


def encode(value: object, *, what: str = "value", limit_bytes: int = MAX_VALUE_BYTES) -> bytes:
    """Encode a value for storage.

    Args:
        value: builtins, msgspec structs, dataclasses or pydantic models.
        what: names the value in errors.
        limit_bytes: what it may take; a row's size unless the caller keeps it elsewhere.

    Raises:
        ValueNotEncodableError: the value holds something MessagePack has no form for.
        ValueTooLargeError: the encoded value is larger than a row may be.
    """
    try:
        data = _VERSION + _encoder.encode(_plain(value))
    except (TypeError, OverflowError, ValueError, RecursionError) as error:
        raise ValueNotEncodableError(f"The {what} cannot be stored: {error}") from error
    if len(data) > limit_bytes:
        raise ValueTooLargeError(f"The {what} takes {len(data)} bytes; at most {limit_bytes} are kept")
    return data


def encode_payload(payload: object) -> bytes:
    """Encode a job's payload, which its object keeps in several rows when one does not hold it.

    Raises:
        ValueNotEncodableError: it holds something MessagePack has no form for.
        ValueTooLargeError: it is larger than payloads may be.
    """
    return encode(payload, what="payload", limit_bytes=MAX_PAYLOAD_BYTES)


def decode(data: bytes) -> object:
    """Decode what :func:`encode` made."""
    return _decoder.decode(_body(data))


def decode_as(data: bytes, into: type[T]) -> T:
    """Decode into a type that msgspec knows."""
    return msgspec.msgpack.decode(_body(data), type=into)


def roundtrip(
    value: object, into: object | None = None, *, what: str = "value", limit_bytes: int = MAX_VALUE_BYTES
) -> tuple[bytes | None, object]:
    """Return the stored form of a value and the value a replay would read, so that a first run equals a replay.

    Args:
        value: what a step returned.
        into: the type a replay converts to, or None for builtins.
        what: names the value in errors.
        limit_bytes: what the stored form may take.
    """
    if value is None:
        return None, None
    data = encode(value, what=what, limit_bytes=limit_bytes)
    if isinstance(value, _ATOMS):
        return data, value
    return data, restore(data, into)


def restore(data: bytes | None, into: object | None) -> object:
    """Decode a stored value into the type its step is annotated with."""
    if data is None:
        return None
    value = decode(data)
    if into is None:
        return value
    validate = getattr(into, "model_validate", None)
    if validate is not None:
        return cast("object", validate(value))
    return cast("object", msgspec.convert(value, type=into))


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)
    return value if dump is None else dump(mode="json")


def _body(data: bytes) -> memoryview:
    if data[:1] != _VERSION:
        raise ValueNotEncodableError(f"Stored value has format version {data[:1]!r}; this release reads {_VERSION!r}")
    return memoryview(data)[1:]
