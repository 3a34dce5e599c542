"""The queues of ``wrangler.toml``: names of workflows' queues to names of bindings."""

from __future__ import annotations

from types import MappingProxyType

from orchestrator.errors import OrchestratorError

DEAD_LETTER_QUEUE = "orchestrator-dead-letter-queue"
#: Queue to producer binding. A test holds this to ``wrangler.toml``.
BINDINGS = MappingProxyType(
    {
        "agentset-ingest-queue": "INGEST_QUEUE",
        "agentset-delete-document-queue": "DELETE_DOCUMENT_QUEUE",
        "agentset-delete-ingest-job-queue": "DELETE_INGEST_JOB_QUEUE",
        "agentset-delete-namespace-queue": "DELETE_NAMESPACE_QUEUE",
        "agentset-delete-org-queue": "DELETE_ORG_QUEUE",
        "agentset-meter-docs-queue": "METER_DOCS_QUEUE",
        "agentset-re-ingest-queue": "RE_INGEST_QUEUE",
        "orchestrator-default-queue": "DEFAULT_QUEUE",
        DEAD_LETTER_QUEUE: "DEAD_LETTER_QUEUE",
    }
)


def binding_of(queue: str) -> str:
    """Return the producer binding of a queue.

    Raises:
        OrchestratorError: ``wrangler.toml`` has no such queue (code ``unknown_queue``).
    """
    found = BINDINGS.get(queue)
    if found is None:
        raise OrchestratorError(f"wrangler.toml has no producer for the queue {queue!r}", code="unknown_queue")
    return found
