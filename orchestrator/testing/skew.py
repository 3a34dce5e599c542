"""Calls between two releases: during a deploy, caller and object may run different code (platform.md §1.5)."""

from __future__ import annotations

from typing import TypeVar, cast

import msgspec

T = TypeVar("T")


def skewed(value: T) -> T:
    """Return what arrives of a value that another release has sent.

    An older release does not know members that have a default, and a newer one sends members unknown here.
    """
    members: object = msgspec.json.decode(msgspec.json.encode(value))
    if isinstance(members, dict) and isinstance(value, msgspec.Struct):
        found = cast("dict[str, object]", members)
        for field in msgspec.structs.fields(type(value)):
            default: object = msgspec.to_builtins(field.default) if field.default is not msgspec.NODEFAULT else field
            if field.encode_name in found and found[field.encode_name] == default:
                del found[field.encode_name]
        found["of_a_later_release"] = [1, {"two": None}]
    return msgspec.json.decode(msgspec.json.encode(members), type=type(value))
