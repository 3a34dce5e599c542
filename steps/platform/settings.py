"""Where a deployment chooses between the platform's old ways, which customers and bills know, and better ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from orchestrator.errors import NonRetryableError


class PlatformSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Behaviour that can be noticed from outside; the defaults are explained in docs/decisions.

    Attributes:
        page_accounting: ``PAGE_ACCOUNTING``: ``exact``, or ``original``, which loses pages of documents that failed.
        usage_reset: ``USAGE_RESET``: ``catch_up`` with days that were missed, or ``original``, which waits a month.
        namespace_leftovers: ``NAMESPACE_LEFTOVERS``: a deleted namespace's unused uploads and vector namespaces are
            removed (``remove``), or stay for ever (``keep``).
        namespace_count: ``NAMESPACE_COUNT``: a deleted namespace leaves its organization with the number of namespaces
            that there are (``exact``), or with one fewer than before (``original``).
        assets_url: ``ASSETS_S3_URL``: public address of the bucket of assets, which their URLs begin with.
    """

    page_accounting: Literal["exact", "original"] = "exact"
    usage_reset: Literal["catch_up", "original"] = "catch_up"
    namespace_leftovers: Literal["remove", "keep"] = "remove"
    namespace_count: Literal["exact", "original"] = "exact"
    assets_url: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> PlatformSettings:
        """Pick the settings out of the environment's variables; empty counts as unset.

        Raises:
            NonRetryableError: code ``invalid_setting``: a variable has none of its values.
        """
        names = {
            "page_accounting": "PAGE_ACCOUNTING",
            "usage_reset": "USAGE_RESET",
            "namespace_leftovers": "NAMESPACE_LEFTOVERS",
            "namespace_count": "NAMESPACE_COUNT",
            "assets_url": "ASSETS_S3_URL",
        }
        given = {field: env[name] for field, name in names.items() if env.get(name)}
        try:
            return msgspec.convert(given, cls)
        except msgspec.ValidationError as error:
            field = str(error).rpartition("$.")[2].strip("`")
            raise NonRetryableError(f"{names.get(field, field)}: {error}", code="invalid_setting") from None

    @property
    def counts_exactly(self) -> bool:
        """Whether a document's pages are counted as they are, whatever befell it before."""
        return self.page_accounting == "exact"
