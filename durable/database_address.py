"""Where a database is, parsed from its URL or from a Hyperdrive binding."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

DEFAULT_PORT: Final = 5432


class DatabaseAddress(msgspec.Struct, frozen=True):
    """Everything needed to connect. Its ``repr`` does not show the password."""

    host: str
    user: str
    database: str
    password: str | None = None
    port: int = DEFAULT_PORT

    def __repr__(self) -> str:
        return f"DatabaseAddress({self.user}@{self.host}:{self.port}/{self.database})"

    @classmethod
    def parse(cls, url: str) -> DatabaseAddress:
        """Return the address in ``postgres://user:password@host:port/database``.

        Raises:
            ValueError: the URL is of another kind or lacks its host, user or database.
        """
        parts = urlsplit(url)
        database = unquote(parts.path.removeprefix("/"))
        if parts.scheme not in {"postgres", "postgresql"} or not (parts.hostname and parts.username and database):
            raise ValueError("A database URL looks like postgres://user:password@host:port/database.")
        return cls(
            host=parts.hostname,
            user=unquote(parts.username),
            database=database,
            password=None if parts.password is None else unquote(parts.password),
            port=parts.port or DEFAULT_PORT,
        )
