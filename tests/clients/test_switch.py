"""The plan's switch: the same call, here or at Trigger.dev, returns the same value."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

import pytest

import orchestrator.client as blocking
from orchestrator.client import (
    AsyncProducer,
    Client,
    ConfigurationError,
    InvalidRequestError,
    NotFoundError,
    Producer,
    Retries,
    UnauthorizedError,
    aio,
    triggers,
)
from orchestrator.client.flow import Backend, Flow
from orchestrator.client.settings import Target, client_target, producer_target
from tests.clients.support import QUICK, Runner
from tests.clients.trigger_dev import SECRET_KEY, Fault, TriggerDev
from tests.http.support import Api

PRO, FREE, NONE = 86_400, 57_600, None
DEV = {"TRIGGER_SECRET_KEY": SECRET_KEY}
HERE = {"USE_CLOUDFLARE_QUEUES": "true", "QUEUE_PRODUCER_URL": "https://o.example/", "ORCHESTRATOR_API_KEY": "the-key"}

#: Function, arguments, task, tags and priority at Trigger.dev (domain.md §2).
CASES: list[tuple[str, tuple[object, ...], str, list[str], int | None]] = [
    ("trigger_ingestion_job", ({"jobId": "j", "organizationId": "o"}, "pro"), "trigger-ingestion-job", ["job_j"], PRO),
    ("trigger_ingestion_job", ({"jobId": "j"}, "free"), "trigger-ingestion-job", ["job_j"], FREE),
    ("trigger_ingestion_job", ({"jobId": "j"}, "enterprise"), "trigger-ingestion-job", ["job_j"], NONE),
    ("trigger_ingestion_job", ({"jobId": "j"},), "trigger-ingestion-job", ["job_j"], FREE),
    ("trigger_re_ingest_job", ({"jobId": "j"}, "pro"), "re-ingest-job", ["job_j"], PRO),
    (
        "trigger_delete_document_job",
        ({"documentId": "d", "updateCounters": True},),
        "delete-document-job",
        ["doc_d"],
        NONE,
    ),
    ("trigger_delete_ingest_job", ({"jobId": "j"},), "delete-ingest-job", ["job_j"], NONE),
    ("trigger_delete_namespace_job", ({"namespaceId": "n"},), "delete-namespace-job", ["ns_n"], NONE),
    ("trigger_delete_organization_job", ({"organizationId": "o"},), "delete-organization-job", ["org_o"], NONE),
    ("trigger_meter_org_documents_job", ({"organizationId": "o"},), "meter-org-documents-job", ["org_o"], NONE),
]


def flow_of(name: str) -> Callable[..., Flow[triggers.Triggered]]:
    return cast("Callable[..., Flow[triggers.Triggered]]", getattr(triggers, name))


def run(target: Target, flow: Flow[triggers.Triggered], *, awaited: bool, retries: Retries = QUICK) -> str:
    async def later() -> str:
        async with AsyncProducer.at(target, retries=retries) as producer:
            return (await producer.run(flow)).id

    if awaited:
        return asyncio.run(later())
    with Producer.at(target, retries=retries) as producer:
        return producer.run(flow).id


def dev_target(stub: TriggerDev, key: str = SECRET_KEY) -> Target:
    return producer_target({"USE_CLOUDFLARE_QUEUES": "false", "TRIGGER_API_URL": stub.url, "TRIGGER_SECRET_KEY": key})


@pytest.mark.parametrize(("name", "arguments", "task", "tags", "priority"), CASES)
def test_every_function_starts_its_task_at_trigger_dev(
    trigger_dev: TriggerDev,
    awaited: bool,
    name: str,
    arguments: tuple[object, ...],
    task: str,
    tags: list[str],
    priority: int | None,
) -> None:
    job_id = run(dev_target(trigger_dev), flow_of(name)(*arguments), awaited=awaited)
    (call,) = trigger_dev.calls
    assert (call.id, call.task, call.payload) == (job_id, task, arguments[0])
    assert (call.options.tags, call.options.priority) == (tags, priority)
    assert call.options.idempotencyKey


@pytest.mark.parametrize(
    ("name", "body", "workflow"),
    [
        ("trigger_ingestion_job", {"jobId": "j", "organizationId": "o"}, "trigger-ingestion-job"),
        ("trigger_meter_org_documents_job", {"organizationId": "o"}, "meter-org-documents-job"),
    ],
)
def test_the_same_function_starts_the_workflow_here(
    api: Api, awaited: bool, name: str, body: Mapping[str, str], workflow: str
) -> None:
    runner = Runner(api, awaited=awaited, faults=["lost", "refused"])
    job_id = runner.run(flow_of(name)(body)).id
    (request,) = {item.job_id: item for item in api.backend.requests}.values()
    assert (request.job_id, request.workflow, request.payload) == (job_id, workflow, body)


def test_whose_a_job_is_is_said_here_and_not_to_trigger_dev(api: Api, trigger_dev: TriggerDev) -> None:
    runner = Runner(api, awaited=False, faults=[])
    runner.run(triggers.trigger_ingestion_job({"jobId": "j", "organizationId": "o"}, "pro", tenant="acme"))
    runner.run(
        triggers.trigger_meter_org_documents_jobs([{"organizationId": "a"}, {"organizationId": "b"}], tenant="x")
    )
    assert [request.options.tenant for request in api.backend.requests] == ["acme", "x", "x"]
    run(dev_target(trigger_dev), triggers.trigger_re_ingest_job({"jobId": "j"}, tenant="acme"), awaited=False)
    assert trigger_dev.calls[0].payload == {"jobId": "j"}


def test_every_route_of_the_plan_has_its_function(api: Api) -> None:
    document = api.get("/openapi.json").json()
    routes = {path.removeprefix("/trigger/") for path in document["paths"] if path.startswith("/trigger/")}
    assert {trigger.route for trigger in triggers.TRIGGERS} == routes
    names = {name for name in dir(triggers) if name.startswith("trigger_") and name != "trigger_dev_body"}
    for holder in (blocking, aio, Producer, AsyncProducer, Client):
        assert names <= set(dir(holder))


def test_a_plan_gives_the_priority(api: Api, awaited: bool) -> None:
    runner = Runner(api, awaited=awaited)
    for plan in ("pro", "free", "enterprise"):
        runner.run(triggers.trigger_ingestion_job({"jobId": plan}, plan))
    assert [item.options.priority for item in api.backend.requests] == [PRO, FREE, PRO]


@pytest.mark.parametrize(
    "fault", [Fault("lost"), Fault("refused", 503), Fault("refused", 429, "0"), Fault("refused", 500)]
)
def test_a_lost_or_late_answer_starts_one_run_only(trigger_dev: TriggerDev, awaited: bool, fault: Fault) -> None:
    trigger_dev.fail(fault, fault)
    job_id = run(dev_target(trigger_dev), triggers.trigger_delete_namespace_job({"namespaceId": "n"}), awaited=awaited)
    assert [call.id for call in trigger_dev.calls] == [job_id]
    assert trigger_dev.requests == 3


@pytest.mark.parametrize("fault", [None, Fault("lost")])
def test_a_batch_returns_every_id_in_order(
    trigger_dev: TriggerDev, api: Api, awaited: bool, fault: Fault | None
) -> None:
    if fault is not None:
        trigger_dev.fail(fault)
    organizations: list[triggers.OrganizationBody] = [{"organizationId": "a"}, {"organizationId": "b"}]
    with Producer.at(dev_target(trigger_dev), retries=QUICK) as producer:
        there = producer.trigger_meter_org_documents_jobs(organizations)
    assert [(call.id, call.payload) for call in trigger_dev.calls] == list(zip(there.ids, organizations, strict=True))
    assert there.id == there.ids[0]
    runner = Runner(api, awaited=awaited, faults=["lost"] if fault else [])
    here = runner.run(triggers.trigger_meter_org_documents_jobs(organizations))
    assert [item.payload for item in {item.job_id: item for item in api.backend.requests}.values()] == organizations
    assert (here.id, len(set(here.ids))) == (here.ids[0], 2)


def test_no_organization_is_no_batch() -> None:
    with Producer("http://nowhere", "k") as producer, pytest.raises(InvalidRequestError):
        producer.trigger_meter_org_documents_jobs([])


def test_a_callers_key_is_passed_on(trigger_dev: TriggerDev, awaited: bool) -> None:
    target = dev_target(trigger_dev)
    flows = [triggers.trigger_delete_ingest_job({"jobId": "j"}, idempotency_key="mine") for _ in range(2)]
    first, second = (run(target, flow, awaited=awaited) for flow in flows)
    assert first == second
    assert [call.options.idempotencyKey for call in trigger_dev.calls] == ["mine"]


def test_trigger_devs_refusals_are_errors_with_its_words(trigger_dev: TriggerDev, awaited: bool) -> None:
    with pytest.raises(UnauthorizedError, match="Invalid or Missing API key"):
        run(dev_target(trigger_dev, "tr_wrong"), triggers.trigger_re_ingest_job({"jobId": "j"}), awaited=awaited)
    unknown = triggers.Trigger("x", "not-deployed", "jobId", "job_")
    with pytest.raises(NotFoundError, match="Task not found"):
        run(dev_target(trigger_dev), triggers.start(unknown, {"jobId": "j"}), awaited=awaited)
    flow = triggers.trigger_re_ingest_job(cast("triggers.JobBody", {"jobId": "j", "surprise": 1}))
    with pytest.raises(InvalidRequestError):
        run(dev_target(trigger_dev), flow, awaited=awaited)
    assert trigger_dev.calls == []


def test_functions_without_a_client_read_the_environment_each_time(
    trigger_dev: TriggerDev, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_CLOUDFLARE_QUEUES", "false")
    monkeypatch.setenv("TRIGGER_SECRET_KEY", SECRET_KEY)
    monkeypatch.setenv("TRIGGER_API_URL", trigger_dev.url)
    one = blocking.trigger_ingestion_job({"jobId": "j"}, "pro")
    two = asyncio.run(aio.trigger_ingestion_job({"jobId": "j"}, "pro"))
    assert [call.id for call in trigger_dev.calls] == [one.id, two.id]
    monkeypatch.setenv("USE_CLOUDFLARE_QUEUES", "true")
    with pytest.raises(ConfigurationError, match="QUEUE_PRODUCER_URL"):
        blocking.trigger_ingestion_job({"jobId": "j"}, "pro")


@pytest.mark.parametrize(
    ("env", "target"),
    [
        (HERE, Target("https://o.example", "the-key")),
        ({**HERE, "USE_CLOUDFLARE_QUEUES": " True "}, Target("https://o.example", "the-key")),
        (
            {**HERE, **DEV, "USE_CLOUDFLARE_QUEUES": "false"},
            Target("https://api.trigger.dev", SECRET_KEY, Backend.TRIGGER_DEV),
        ),
        (DEV, Target("https://api.trigger.dev", SECRET_KEY, Backend.TRIGGER_DEV)),
        ({**DEV, "TRIGGER_API_URL": "http://t/"}, Target("http://t", SECRET_KEY, Backend.TRIGGER_DEV)),
    ],
)
def test_one_variable_switches(env: dict[str, str], target: Target) -> None:
    assert producer_target(env) == target
    assert target.api_key not in repr(target)


@pytest.mark.parametrize(
    ("env", "missing"),
    [
        ({}, "TRIGGER_SECRET_KEY"),
        ({**DEV, "USE_CLOUDFLARE_QUEUES": "yes"}, "USE_CLOUDFLARE_QUEUES"),
        ({**DEV, "USE_CLOUDFLARE_QUEUES": "true"}, "QUEUE_PRODUCER_URL"),
        ({**HERE, "ORCHESTRATOR_API_KEY": " "}, "ORCHESTRATOR_API_KEY"),
        ({**HERE, "QUEUE_PRODUCER_URL": "o.example"}, "QUEUE_PRODUCER_URL"),
    ],
)
def test_a_missing_variable_is_named(env: dict[str, str], missing: str) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        producer_target(env)


def test_the_client_takes_its_own_variable_first() -> None:
    assert client_target(HERE).url == "https://o.example"
    assert client_target({**HERE, "ORCHESTRATOR_URL": "http://mine"}).url == "http://mine"
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_URL"):
        client_target({})
