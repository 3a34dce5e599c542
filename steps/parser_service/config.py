"""Where the parser service is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class ParserServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parser service; without an address, the built-in parser does what it can.

    Attributes:
        url: ``PARTITION_API_URL``, the base of its routes. Old settings end in ``/ingest``, which is taken off.
        key: ``PARTITION_API_KEY``.
    """

    url: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"ParserServiceSettings({self.url!r}, …)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ParserServiceSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        url = env.get("PARTITION_API_URL", "").rstrip("/").removesuffix("/ingest")
        return cls(url=url or None, key=env.get("PARTITION_API_KEY") or None)
