"""Python values as Postgres text parameters, and back, with asyncpg's typing.

asyncpg asks the server for each parameter's type and takes only the Python type that belongs to it. The pg8000 adapter
does the same with this module, so that code which runs locally is not refused by asyncpg when deployed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast

from steps.platform.errors import DatabaseRefusedError

# Type OIDs: PostgreSQL's pg_type.dat.
BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID, JSON, FLOAT4, FLOAT8 = 16, 17, 20, 21, 23, 25, 26, 114, 700, 701
BPCHAR, VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB = 1042, 1043, 1082, 1114, 1184, 1700, 2950, 3802
#: Array type to element type.
ARRAYS: Mapping[int, int] = {
    1000: BOOL, 1001: BYTEA, 1016: INT8, 1005: INT2, 1007: INT4, 1009: TEXT, 199: JSON, 1021: FLOAT4, 1022: FLOAT8,
    1014: BPCHAR, 1015: VARCHAR, 1182: DATE, 1115: TIMESTAMP, 1185: TIMESTAMPTZ, 1231: NUMERIC, 2951: UUID, 3807: JSONB,
}  # fmt: skip
#: SQLSTATE "invalid parameter value".
INVALID_PARAMETER = "22023"

_Encoder = Callable[[object], str]


def encode_params(oids: Sequence[int], args: Sequence[object]) -> list[bytes | None]:
    """Return the parameters in Postgres's text format; None stays None, which is NULL.

    Args:
        oids: the parameters' types, as the server reports them.
        args: one value for each.

    Raises:
        DatabaseRefusedError: the number of values or the type of one does not fit.
    """
    if len(oids) != len(args):
        raise DatabaseRefusedError(
            f"The query takes {len(oids)} parameters, {len(args)} were given.", sqlstate=INVALID_PARAMETER
        )
    return [_encode(position, oid, value) for position, (oid, value) in enumerate(zip(oids, args, strict=True), 1)]


def _encode(position: int, oid: int, value: object) -> bytes | None:
    if value is None:
        return None
    element = ARRAYS.get(oid)
    encoder = _array_encoder(ENCODERS.get(element, _text)) if element is not None else ENCODERS.get(oid, _other)
    try:
        return encoder(value).encode()
    except (TypeError, ValueError) as cause:
        raise DatabaseRefusedError(
            f"Parameter ${position} cannot be a {type(value).__name__}: {cause}.", sqlstate=INVALID_PARAMETER
        ) from None


def _array_encoder(element: _Encoder) -> _Encoder:
    return lambda value: _array(value, element)


def _array(value: object, element: _Encoder) -> str:
    if not isinstance(value, list | tuple):
        raise TypeError("a list is expected")
    items = cast("Sequence[object]", value)
    return "{" + ",".join("NULL" if item is None else _quoted(element(item)) for item in items) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a str is expected")
    return value


def _other(value: object) -> str:
    """Encode for a type that has no encoder: enums and extension types are text, and their arrays lists of it."""
    return _text(value) if isinstance(value, str) else _array(value, _text)


def _bool(value: object) -> str:
    if not isinstance(value, bool):
        raise TypeError("a bool is expected")
    return "t" if value else "f"


def _int(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("an int is expected")
    return str(value)


def _float(value: object) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("a float is expected")
    return repr(float(value))


def _numeric(value: object) -> str:
    if not isinstance(value, Decimal | int) or isinstance(value, bool):
        raise TypeError("a Decimal or an int is expected")
    return str(value)


def _bytes(value: object) -> str:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("bytes are expected")
    return "\\x" + value.hex()


def _timestamp(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is not None:
        raise TypeError("a naive datetime in UTC is expected")
    return value.isoformat(" ")


def _timestamptz(value: object) -> str:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("an aware datetime is expected")
    return value.astimezone(UTC).isoformat(" ")


def _date(value: object) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise TypeError("a date is expected")
    return value.isoformat()


def _uuid(value: object) -> str:
    if not isinstance(value, str | uuid.UUID):
        raise TypeError("a UUID is expected")
    return str(value)


ENCODERS: Mapping[int, _Encoder] = {
    BOOL: _bool, BYTEA: _bytes, INT8: _int, INT2: _int, INT4: _int, OID: _int, FLOAT4: _float, FLOAT8: _float,
    NUMERIC: _numeric, TEXT: _text, BPCHAR: _text, VARCHAR: _text, JSON: _text, JSONB: _text, DATE: _date,
    TIMESTAMP: _timestamp, TIMESTAMPTZ: _timestamptz, UUID: _uuid,
}  # fmt: skip


def _as_text(text: str) -> str:
    return text


#: Decoders that replace pg8000's own: JSON stays text as with asyncpg, and timestamps are parsed without ``strptime``.
DECODERS: Mapping[int, Callable[[str], object]] = {
    JSON: _as_text, JSONB: _as_text, TIMESTAMP: datetime.fromisoformat, TIMESTAMPTZ: datetime.fromisoformat,
}  # fmt: skip
