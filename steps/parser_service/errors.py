"""``Partition Error``: what a row says when the parser service did not deliver (domain.md §9.3).

The service's own message goes with the error as its cause: the job's status shows it, the row does not (W-34).
"""

from __future__ import annotations

import re

from orchestrator.errors import NonRetryableError, OrchestratorError

_MAX_CAUSE_CHARS = 400
#: Signatures of presigned addresses are in their queries.
_QUERY = re.compile(r"\?[^\s\"'<>]+")


class ParserServiceError(OrchestratorError):
    """What the parser service said."""

    code = "parser_service"


def partition_error(message: str) -> NonRetryableError:
    """Return the error for a parse that failed.

    Args:
        message: what the service said, or what is wrong with its answer.
    """
    shown = _QUERY.sub("?…", message)[:_MAX_CAUSE_CHARS]
    error = NonRetryableError("Partition Error", code="partition_error", details={"parser_message": shown})
    error.__cause__ = ParserServiceError(shown)
    return error
