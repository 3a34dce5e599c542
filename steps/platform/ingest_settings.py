"""How ingestion counts and tells, where customers or bills can notice the difference (decisions 31 and 32)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from orchestrator.errors import NonRetryableError


class IngestSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Choices of a deployment.

    Attributes:
        pages_quota: ``PAGES_QUOTA``: what a free plan's limit of pages holds for. ``reserved``: crawled pages and
            videos, also of jobs side by side. ``original``: the same, but each job looks by itself. ``every_document``:
            like ``reserved``, and no document of any kind is begun once the limit is reached.
        ingest_events: ``INGEST_EVENTS``: ``original``, or ``complete``, which also announces queued pages of crawls and
            documents over the quota.
        parser_errors: ``PARSER_ERRORS``: what a document's row says of a failed parse: ``original`` for
            ``Partition Error``, or ``detailed`` for that and the parser's own message.
    """

    pages_quota: Literal["reserved", "original", "every_document"] = "reserved"
    ingest_events: Literal["original", "complete"] = "original"
    parser_errors: Literal["original", "detailed"] = "original"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> IngestSettings:
        """Pick the settings out of the environment's variables; empty counts as unset.

        Raises:
            NonRetryableError: code ``invalid_setting``: a variable has none of its values.
        """
        names = [name for name in cls.__struct_fields__ if env.get(name.upper())]
        try:
            return msgspec.convert({name: env[name.upper()] for name in names}, cls)
        except msgspec.ValidationError as error:
            raise NonRetryableError(f"Invalid setting: {error}".replace("$.", ""), code="invalid_setting") from error
