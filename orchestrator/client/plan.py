"""The plan's functions for a call now and then: each reads the environment and uses a connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from orchestrator.client import triggers
from orchestrator.client.blocking import Producer
from orchestrator.client.flow import Flow

P = ParamSpec("P")
T = TypeVar("T")


def _call(flow: Callable[P, Flow[T]]) -> Callable[P, T]:
    @wraps(flow)
    def function(*args: P.args, **kwargs: P.kwargs) -> T:
        with Producer.from_env() as producer:
            return producer.run(flow(*args, **kwargs))

    return function


trigger_ingestion_job = _call(triggers.trigger_ingestion_job)
trigger_re_ingest_job = _call(triggers.trigger_re_ingest_job)
trigger_delete_document_job = _call(triggers.trigger_delete_document_job)
trigger_delete_ingest_job = _call(triggers.trigger_delete_ingest_job)
trigger_delete_namespace_job = _call(triggers.trigger_delete_namespace_job)
trigger_delete_organization_job = _call(triggers.trigger_delete_organization_job)
trigger_meter_org_documents_job = _call(triggers.trigger_meter_org_documents_job)
trigger_meter_org_documents_jobs = _call(triggers.trigger_meter_org_documents_jobs)
