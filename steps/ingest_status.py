"""What status shows of an ingestion while its documents are processed: pages, tokens, chunks, and the current wave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

import msgspec

from orchestrator import ChildOutcome
from steps.deletion import STOPPED_BY_DELETE


class Processed(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents that ended amount to; the carried state of the fan-out.

    Attributes:
        failed: documents that failed.
        pages: of those that succeeded.
        tokens: see ``pages``.
        chunks: see ``pages``.
    """

    failed: int = 0
    pages: float = 0.0
    tokens: int = 0
    chunks: int = 0


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    """A document's result; one that gave way to a delete has no totals."""

    total_pages: float = 0.0
    total_tokens: int = 0
    total_chunks: int = 0


def fold(state: Processed, outcome: ChildOutcome) -> Processed:
    """Add a document that ended; one whose run was stopped by a delete, or came too late for its row, has not failed.

    Its pages were counted with its completion; here they are for people to see.
    """
    if not outcome.ok:
        error = outcome.error
        deleted = error is not None and (error.message == STOPPED_BY_DELETE or error.code == "document_not_found")
        return state if deleted else msgspec.structs.replace(state, failed=state.failed + 1)
    result = msgspec.convert(outcome.result, _Result)
    return msgspec.structs.replace(
        state,
        pages=state.pages + result.total_pages,
        tokens=state.tokens + result.total_tokens,
        chunks=state.chunks + result.total_chunks,
    )


def shown(total: int, window: int) -> Callable[[Processed, int], Mapping[str, object]]:
    """Return what makes facts of the state.

    Args:
        total: documents in all.
        window: documents processed at a time, which the platform calls a wave.
    """
    waves = ceil(total / window)

    def show(state: Processed, ended: int) -> Mapping[str, object]:
        failed = {"failed_documents": state.failed} if state.failed else {}
        return {
            "pages": round(state.pages, 6),
            "tokens": state.tokens,
            "chunks": state.chunks,
            "wave": min(waves, ended // window + 1),
            "waves": waves,
            **failed,
        }

    return show
