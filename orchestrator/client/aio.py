"""The functions of :mod:`orchestrator.client.plan`, to be awaited."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import ParamSpec, TypeVar

from orchestrator.client import triggers
from orchestrator.client.flow import Flow
from orchestrator.client.nonblocking import AsyncProducer

P = ParamSpec("P")
T = TypeVar("T")


def _call(flow: Callable[P, Flow[T]]) -> Callable[P, Coroutine[None, None, T]]:
    @wraps(flow)
    async def function(*args: P.args, **kwargs: P.kwargs) -> T:
        async with AsyncProducer.from_env() as producer:
            return await producer.run(flow(*args, **kwargs))

    return function


trigger_ingestion_job = _call(triggers.trigger_ingestion_job)
trigger_re_ingest_job = _call(triggers.trigger_re_ingest_job)
trigger_delete_document_job = _call(triggers.trigger_delete_document_job)
trigger_delete_ingest_job = _call(triggers.trigger_delete_ingest_job)
trigger_delete_namespace_job = _call(triggers.trigger_delete_namespace_job)
trigger_delete_organization_job = _call(triggers.trigger_delete_organization_job)
trigger_meter_org_documents_job = _call(triggers.trigger_meter_org_documents_job)
trigger_meter_org_documents_jobs = _call(triggers.trigger_meter_org_documents_jobs)
