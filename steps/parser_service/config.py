"""Where the parser service is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from orchestrator.errors import NonRetryableError

#: A parse takes a minute or so.
POLL_MS = 120_000


class ParserServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parser service; without an address, the built-in parser does what it can.

    Attributes:
        url: ``PARTITION_API_URL``, the base of its routes. Old settings end in ``/ingest``, which is taken off.
        key: ``PARTITION_API_KEY``.
        poll_ms: ``PARTITION_POLL_MS``: how long its callback is waited for before it is asked.
    """

    url: str | None = None
    key: str | None = None
    poll_ms: int = POLL_MS

    def __repr__(self) -> str:
        return f"ParserServiceSettings({self.url!r}, …)"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ParserServiceSettings:
        """Pick the settings out of the environment's variables; empty counts as unset.

        Raises:
            NonRetryableError: code ``invalid_setting``.
        """
        url = env.get("PARTITION_API_URL", "").rstrip("/").removesuffix("/ingest")
        poll = env.get("PARTITION_POLL_MS") or str(POLL_MS)
        if not poll.isascii() or not poll.isdigit() or not 0 < len(poll) < 8 or int(poll) < 100:
            raise NonRetryableError("PARTITION_POLL_MS is no number of milliseconds from 100", code="invalid_setting")
        return cls(url=url or None, key=env.get("PARTITION_API_KEY") or None, poll_ms=int(poll))
