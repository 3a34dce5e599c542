"""What the local runtime takes from `wrangler.toml` and from the Worker's sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import classes, config
from local.bundle import ROOT

PLAN_QUEUES = {
    "INGEST_QUEUE": "agentset-ingest-queue",
    "DELETE_DOCUMENT_QUEUE": "agentset-delete-document-queue",
    "DELETE_INGEST_JOB_QUEUE": "agentset-delete-ingest-job-queue",
    "DELETE_NAMESPACE_QUEUE": "agentset-delete-namespace-queue",
    "DELETE_ORG_QUEUE": "agentset-delete-org-queue",
    "METER_DOCS_QUEUE": "agentset-meter-docs-queue",
    "RE_INGEST_QUEUE": "agentset-re-ingest-queue",
}
DEAD_LETTERS = "orchestrator-dead-letter-queue"


@pytest.fixture(scope="module")
def wrangler() -> config.WranglerConfig:
    return config.read(ROOT / "wrangler.toml")


def test_every_queue_of_the_plan_has_a_producer(wrangler: config.WranglerConfig) -> None:
    producers = {item.binding: item.queue for item in wrangler.queues.producers}
    own = {"DEFAULT_QUEUE": "orchestrator-default-queue", "DEAD_LETTER_QUEUE": DEAD_LETTERS}
    assert producers == {**PLAN_QUEUES, **own}


def test_every_queue_is_consumed_and_gives_up_to_the_dead_letters(wrangler: config.WranglerConfig) -> None:
    dead_letters = {item.queue: item.dead_letter_queue for item in wrangler.queues.consumers}
    produced = {item.queue for item in wrangler.queues.producers}
    assert dead_letters == {queue: None if queue == DEAD_LETTERS else DEAD_LETTERS for queue in produced}


def test_every_object_class_has_a_migration(wrangler: config.WranglerConfig) -> None:
    assert {item.class_name for item in wrangler.durable_objects.bindings} == set(wrangler.class_names())


def test_consumer_settings_reach_miniflare(wrangler: config.WranglerConfig) -> None:
    translated = config.miniflare_config(wrangler, database_url=None, texts={"API_KEY": "k"})
    triggers = translated["triggers"]
    assert isinstance(triggers, list)
    assert {
        "type": "queue",
        "name": "agentset-ingest-queue",
        "maxBatchSize": 50,
        "maxBatchTimeout": 0,
        "maxRetries": 50,
        "retryDelay": 5,
        "deadLetterQueue": DEAD_LETTERS,
    } in triggers
    assert {"type": "scheduled", "schedule": "* * * * *"} in triggers


def test_bindings_reach_miniflare(wrangler: config.WranglerConfig) -> None:
    url = "postgres://user:password@127.0.0.1:1/database"
    translated = config.miniflare_config(wrangler, database_url=url, texts={"API_KEY": "k"})
    env = translated["env"]
    assert isinstance(env, dict)
    assert env["JOBS"] == {"type": "durable-object", "worker": wrangler.name, "exportName": "JobObject"}
    for binding in ("BLOBS", "IMAGES", "ASSETS"):
        assert env[binding] == {"type": "r2", "name": f"agentset-{binding.lower()}"}
    assert env["DB"]["dev"] == {"connectionString": url}
    assert env["API_KEY"] == {"type": "text", "value": "k"}


def test_each_migration_of_the_object_classes_has_a_tag_of_its_own(wrangler: config.WranglerConfig) -> None:
    tags = [migration.tag for migration in wrangler.migrations]
    assert tags == [f"v{number}" for number in range(1, len(tags) + 1)]
    assert len(set(wrangler.class_names())) == len(wrangler.class_names())


def write(package: Path, **modules: str) -> Path:
    package.mkdir()
    for name, source in modules.items():
        (package / f"{name}.py").write_text(source)
    return package


def test_classes_are_found_through_imports_and_bases(tmp_path: Path) -> None:
    package = write(
        tmp_path / "app",
        __init__="",
        worker="from workers import WorkerEntrypoint\nfrom app.objects import Thing\n"
        "class Default(WorkerEntrypoint):\n    async def fetch(self, request): ...\n",
        objects="from workers import DurableObject\nfrom .mixins import Sleeper\n"
        "class Thing(Sleeper, DurableObject):\n"
        "    async def create(self, body): ...\n    def _private(self): ...\n"
        "    @property\n    def size(self): ...\n",
        mixins="class Sleeper:\n    async def alarm(self): ...\n",
    )
    assert classes.exported([package], "app.worker") == [
        classes.ExportedClass("Default", "WorkerEntrypoint", ("fetch",)),
        classes.ExportedClass("Thing", "DurableObject", ("alarm", "create")),
    ]


def test_a_module_that_takes_everything_of_another_exports_its_classes_too(tmp_path: Path) -> None:
    package = tmp_path / "app"
    package.mkdir()
    (package / "product.py").write_text(
        "from workers import DurableObject\n\nclass Thing(DurableObject):\n    async def get(self): ...\n"
        "class Other(DurableObject):\n    async def put(self): ...\n"
    )
    (package / "worker.py").write_text(
        "from app.product import *\nfrom app.product import Thing as Base\n\n"
        "class Thing(Base):\n    async def more(self): ...\n"
    )
    found = {item.name: item.methods for item in classes.exported([package], "app.worker")}
    assert (found["Other"], found["Thing"]) == (("put",), ("get", "more"))


def test_the_main_module_stands_for_the_classes() -> None:
    found = [
        classes.ExportedClass("Default", "WorkerEntrypoint", ("fetch",)),
        classes.ExportedClass("Thing", "DurableObject", ("alarm", "create")),
    ]
    assert classes.main_module(found).splitlines()[1:] == [
        'export default entrypoint("Default", ["fetch"]);',
        'export const Thing = durableObject("Thing", ["alarm", "create"]);',
    ]


def test_a_missing_main_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(classes.ExportError, match="does not exist"):
        classes.exported([write(tmp_path / "app", __init__="")], "app.worker")


def test_a_missing_entrypoint_is_refused() -> None:
    with pytest.raises(classes.ExportError, match="entrypoint class Default"):
        classes.require([], "app.worker", [])
