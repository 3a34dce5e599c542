"""Where the catalog keeps what it knows of a job: its shards and its ledgers, by hash of the id.

A shard knows everything about its jobs. A ledger knows only that they exist, so that a shard which was lost, or a
catalog with another number of shards, is made again from the jobs (docs/decisions/0015-catalog-shards.md).
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from orchestrator.errors import OrchestratorError
from orchestrator.model import DeadLetter

#: Shards unless ``CATALOG_SHARDS`` says otherwise; each takes some hundreds of changes a second (platform.md §1.1).
DEFAULT_SHARDS: Final = 4
MAX_SHARDS: Final = 64
#: Never changed: nothing moves entries between ledgers. One entry per job suits many more shards than ``MAX_SHARDS``.
LEDGERS: Final = 8

_SHARD = "catalog"


class Layout(msgspec.Struct, frozen=True):
    """How many shards the catalog has. Another number is another catalog, whose objects have other names."""

    shards: int

    @classmethod
    def from_setting(cls, text: str | None) -> Layout:
        """Read the variable ``CATALOG_SHARDS``, which may be unset.

        Raises:
            OrchestratorError: it is no number from 1 to ``MAX_SHARDS`` (code ``invalid_setting``).
        """
        if text is None:
            return cls(DEFAULT_SHARDS)
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_SHARDS):
            raise OrchestratorError(f"CATALOG_SHARDS is a number from 1 to {MAX_SHARDS}", code="invalid_setting")
        return cls(int(text))

    def names(self) -> list[str]:
        """Return the names of the shards' objects."""
        return [f"{_SHARD}-{self.shards}-{number}" for number in range(self.shards)]

    def number_of(self, job_id: str) -> int:
        """Return which shard knows a job."""
        return _hash(job_id)[0] % self.shards

    def shard_of(self, job_id: str) -> str:
        """Return the name of the shard that knows a job."""
        return f"{_SHARD}-{self.shards}-{self.number_of(job_id)}"

    def shard_of_letter(self, letter: DeadLetter) -> str:
        """Return the name of the shard that keeps a dead letter: it lies with the job that it names."""
        return self.shard_of(letter.job_id or letter.id)


def layout_of(shard: str) -> Layout:
    """Return the layout that a shard's name belongs to."""
    return Layout(int(shard.split("-")[1]))


def number_of(shard: str) -> int:
    """Return a shard's number within its layout."""
    return int(shard.rpartition("-")[2])


def ledger_name(number: int) -> str:
    """Return the name of a ledger's object."""
    return f"ledger-{number}"


def ledger_of(job_id: str) -> str:
    """Return the name of the ledger that knows a job."""
    return ledger_name(_hash(job_id)[1] % LEDGERS)


def _hash(text: str) -> tuple[int, int]:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big")
