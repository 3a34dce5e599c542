"""``Partition Error``: what a row says when the parser service did not deliver (domain.md §9.3).

The service's own message goes with the error as its cause: the job's status shows it. The row shows it only where the
deployment wants it to (W-34, ``PARSER_ERRORS``).
"""

from __future__ import annotations

import re

from orchestrator.errors import NonRetryableError, OrchestratorError
from steps.services import services

PARTITION_ERROR = "Partition Error"
_MAX_CAUSE_CHARS = 400
#: Signatures of presigned addresses are in their queries.
_QUERY = re.compile(r"\?[^\s\"'<>]+")


class ParserServiceError(OrchestratorError):
    """What the parser service said."""

    code = "parser_service"


def partition_error(message: str, *, status: object = None) -> NonRetryableError:
    """Return the error for a parse that failed. Called inside steps.

    Args:
        message: what the service said, or what is wrong with its answer.
        status: of the service's answer, if it refused to begin.
    """
    shown = _QUERY.sub("?…", message)[:_MAX_CAUSE_CHARS]
    detailed = services().settings.ingest.parser_errors == "detailed"
    text = f"{PARTITION_ERROR}: {shown}" if detailed else PARTITION_ERROR
    error = NonRetryableError(text, code="partition_error", details={} if status is None else {"status": status})
    error.__cause__ = ParserServiceError(shown)
    return error


def was_refused(error: NonRetryableError) -> bool:
    """Tell whether the service has surely begun nothing. Of its own trouble (5xx) that is not sure."""
    status = error.details.get("status")
    return isinstance(status, int) and 400 <= status < 500
