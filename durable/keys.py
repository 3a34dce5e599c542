"""API keys: random, shown once, kept as hashes.

A key is ``dok_``, its id without prefix, ``_``, and 256 random bits. What is random in 256 bits cannot be guessed from
its hash, however fast the hash is: slow hashes make up for passwords that people choose, and nobody chooses these. So
one SHA-256 is kept, and a request costs one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import LiteralString

import msgspec

from orchestrator.columns import integer
from orchestrator.errors import ConflictError, UnknownKeyError
from orchestrator.ids import ULID_RANDOM_BYTES, ulid
from orchestrator.ports import Clock, Entropy, Sql, SqlRow
from orchestrator.schema import migrate

SCHEMA_VERSION = 1
KEY_ID_PREFIX = "key_"
TEXT_PREFIX = "dok_"
#: Keys that may be of use at the same time: all are one object's, and a page shows them.
MAX_KEYS = 10_000
#: A key that is of no use any more is shown this long.
KEPT_MS = 90 * 86_400_000
#: Random bytes of a key, and how many characters they are.
_SECRET_BYTES = 32
_SECRET_CHARS = 43

_SCHEMA: tuple[LiteralString, ...] = (
    """create table if not exists api_key (
        id text primary key, record blob, expires_at_ms integer, revoked_at_ms integer) without rowid""",
)


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key."""

    id: str
    #: SHA-256 of the key.
    hash: bytes
    name: str
    scopes: tuple[str, ...]
    #: Only these workflows and their jobs; all when None.
    workflows: tuple[str, ...] | None = None
    #: Only this tenant's jobs; all when None.
    tenant: str | None = None
    #: Requests per second that each isolate lets pass; the deployment's own rate when None.
    rate_per_s: int | None = None
    #: What its jobs count as in lanes, whatever they say themselves.
    lane_keys: dict[str, str] | None = None
    #: The most head start that its jobs get, in seconds.
    max_priority: int | None = None
    created_at_ms: int
    #: The key that made it.
    created_by: str
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def is_valid(self, now_ms: int) -> bool:
        """Tell whether the key is of use."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)

    def is_opened_by(self, text: str) -> bool:
        """Tell whether ``text`` is the key, in a time that does not tell how much of it is right."""
        return hmac.compare_digest(self.hash, hash_of(text))


class KeyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which keys to list, newest first: those before ``before_id``."""

    before_id: str | None = None
    limit: int = 50


def new_key(clock: Clock, entropy: Entropy) -> tuple[str, str]:
    """Return the id and the text of a new key."""
    name = ulid(clock.now_ms(), entropy.random_bytes(ULID_RANDOM_BYTES))
    secret = base64.urlsafe_b64encode(entropy.random_bytes(_SECRET_BYTES)).decode().rstrip("=")
    return KEY_ID_PREFIX + name, f"{TEXT_PREFIX}{name}_{secret}"


def hash_of(text: str) -> bytes:
    """Return what is kept of a key's text."""
    return hashlib.sha256(text.encode()).digest()


def id_in(text: str) -> str | None:
    """Return the id that a key's text carries; None when no key of ours looks so."""
    body = text.removeprefix(TEXT_PREFIX)
    name, _, secret = body.partition("_")
    if body == text or len(name) != 26 or not name.isalnum() or len(secret) != _SECRET_CHARS:
        return None
    return KEY_ID_PREFIX + name


class KeyStore:
    """The table of keys.

    Args:
        sql: the object's SQLite.
    """

    def __init__(self, sql: Sql) -> None:
        self._sql = sql
        self._ready = False

    def add(self, record: KeyRecord) -> None:
        """Keep a key; adding it again changes nothing.

        Raises:
            ConflictError: there are too many (code ``too_many_keys``).
        """
        self._migrate()
        oldest_ms = record.created_at_ms - KEPT_MS
        self._sql.execute("delete from api_key where expires_at_ms < ? or revoked_at_ms < ?", oldest_ms, oldest_ms)
        if integer(self._sql.execute("select count(*) from api_key")[0][0]) >= MAX_KEYS:
            raise ConflictError(
                f"There are {MAX_KEYS} keys already; revoked ones count for a while", code="too_many_keys"
            )
        self._sql.execute(
            "insert or ignore into api_key (id, record, expires_at_ms, revoked_at_ms) values (?, ?, ?, null)",
            record.id,
            msgspec.msgpack.encode(record),
            record.expires_at_ms,
        )

    def get(self, key_id: str) -> KeyRecord | None:
        """Return a key, of use or not; None when there is none."""
        self._migrate()
        rows = self._sql.execute("select record, revoked_at_ms from api_key where id = ?", key_id)
        return _record(rows[0]) if rows else None

    def list(self, query: KeyQuery) -> list[KeyRecord]:
        """Return keys, newest first."""
        self._migrate()
        rows = self._sql.execute(
            "select record, revoked_at_ms from api_key where id < ? order by id desc limit ?",
            query.before_id or KEY_ID_PREFIX + "~",
            query.limit,
        )
        return [_record(row) for row in rows]

    def revoke(self, key_id: str, now_ms: int) -> None:
        """End a key's use; the first time counts.

        Raises:
            UnknownKeyError: there is none.
        """
        self._migrate()
        if self.get(key_id) is None:
            raise UnknownKeyError
        self._sql.execute("update api_key set revoked_at_ms = ? where id = ? and revoked_at_ms is null", now_ms, key_id)

    def _migrate(self) -> None:
        if not self._ready:
            migrate(self._sql, _SCHEMA, SCHEMA_VERSION, what="key store")
            self._ready = True


def _record(row: SqlRow) -> KeyRecord:
    stored, revoked_at_ms = row
    record = msgspec.msgpack.decode(stored if isinstance(stored, bytes) else b"", type=KeyRecord)
    return record if revoked_at_ms is None else msgspec.structs.replace(record, revoked_at_ms=integer(revoked_at_ms))
