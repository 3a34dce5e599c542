"""The Python client: the orchestrator's API, blocking (:class:`Client`) and awaited (:class:`AsyncClient`).

The plan's functions are here too, as methods of :class:`Producer` and, for a call now and then, as functions that read
the environment each time; :mod:`orchestrator.client.aio` has those to await. Needs the extra ``client``.
"""

from __future__ import annotations

from orchestrator.client.blocking import Client, Producer
from orchestrator.client.errors import (
    ClientError,
    ConfigurationError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    JobUnsuccessfulError,
    NoAnswerError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from orchestrator.client.nonblocking import AsyncClient, AsyncProducer
from orchestrator.client.payloads import NewJob, Options
from orchestrator.client.plan import (
    trigger_delete_document_job,
    trigger_delete_ingest_job,
    trigger_delete_namespace_job,
    trigger_delete_organization_job,
    trigger_ingestion_job,
    trigger_meter_org_documents_job,
    trigger_meter_org_documents_jobs,
    trigger_re_ingest_job,
)
from orchestrator.client.retries import NO_RETRIES, Retries

__all__ = [
    "NO_RETRIES",
    "AsyncClient",
    "AsyncProducer",
    "Client",
    "ClientError",
    "ConfigurationError",
    "ConflictError",
    "ForbiddenError",
    "InvalidRequestError",
    "JobUnsuccessfulError",
    "NewJob",
    "NoAnswerError",
    "NotFoundError",
    "Options",
    "ProblemError",
    "Producer",
    "RateLimitedError",
    "Retries",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "trigger_delete_document_job",
    "trigger_delete_ingest_job",
    "trigger_delete_namespace_job",
    "trigger_delete_organization_job",
    "trigger_ingestion_job",
    "trigger_meter_org_documents_job",
    "trigger_meter_org_documents_jobs",
    "trigger_re_ingest_job",
]
