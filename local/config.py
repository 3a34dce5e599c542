"""Read ``wrangler.toml`` into the options that miniflare takes.

The local runtime has no names or settings of its own, so that it cannot drift from the deployed configuration.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec


class Consumer(msgspec.Struct, frozen=True):
    """A queue's consumer settings; times in seconds. Production's defaults where the file is silent."""

    queue: str
    max_batch_size: int = 10
    max_batch_timeout: float = 5
    max_retries: int = 3
    retry_delay: int = 0
    max_concurrency: int | None = None
    dead_letter_queue: str | None = None


class Producer(msgspec.Struct, frozen=True):
    """A binding that sends to a queue."""

    binding: str
    queue: str


class Queues(msgspec.Struct, frozen=True):
    """Both ends of the queues."""

    producers: list[Producer] = []
    consumers: list[Consumer] = []


class ObjectBinding(msgspec.Struct, frozen=True):
    """A binding of a Durable Object class."""

    name: str
    class_name: str


class Objects(msgspec.Struct, frozen=True):
    """The Durable Object classes."""

    bindings: list[ObjectBinding] = []


class Migration(msgspec.Struct, frozen=True):
    """One step in the history of the Durable Object classes."""

    tag: str
    new_sqlite_classes: list[str] = []


class Bucket(msgspec.Struct, frozen=True):
    """A binding of an R2 bucket."""

    binding: str
    bucket_name: str


class Hyperdrive(msgspec.Struct, frozen=True):
    """A binding of a Postgres database."""

    binding: str
    id: str


class Dataset(msgspec.Struct, frozen=True):
    """A binding of an Analytics Engine dataset."""

    binding: str
    dataset: str | None = None


class Triggers(msgspec.Struct, frozen=True):
    """When the scheduled handler runs."""

    crons: list[str] = []


class Secrets(msgspec.Struct, frozen=True):
    """Secrets that a deployment must have."""

    required: list[str] = []


class WranglerConfig(msgspec.Struct, frozen=True):
    """The parts of ``wrangler.toml`` that the local runtime uses."""

    name: str
    compatibility_date: str
    durable_objects: Objects = Objects()
    migrations: list[Migration] = []
    queues: Queues = Queues()
    r2_buckets: list[Bucket] = []
    hyperdrive: list[Hyperdrive] = []
    analytics_engine_datasets: list[Dataset] = []
    triggers: Triggers = Triggers()
    secrets: Secrets = Secrets()
    vars: dict[str, str] = {}

    def class_names(self) -> list[str]:
        """Return the Durable Object classes that the migrations have made."""
        return [name for migration in self.migrations for name in migration.new_sqlite_classes]


def read(path: Path) -> WranglerConfig:
    """Read the configuration.

    Raises:
        OSError: the file cannot be read.
        tomllib.TOMLDecodeError: it is not TOML.
        msgspec.ValidationError: a setting has the wrong shape.
    """
    return msgspec.convert(tomllib.loads(path.read_text()), WranglerConfig)


def miniflare_config(config: WranglerConfig, *, database_url: str | None, texts: dict[str, str]) -> dict[str, object]:
    """Translate to miniflare's Worker configuration, without the Worker's modules.

    Args:
        config: the deployable configuration.
        database_url: what Hyperdrive bindings connect to; without it they are left out.
        texts: secrets and variables; they win over the file's own ``vars``.
    """
    name = config.name
    env: dict[str, object] = {key: {"type": "text", "value": value} for key, value in {**config.vars, **texts}.items()}
    for item in config.durable_objects.bindings:
        env[item.name] = {"type": "durable-object", "worker": name, "exportName": item.class_name}
    for producer in config.queues.producers:
        env[producer.binding] = {"type": "queue", "name": producer.queue}
    for bucket in config.r2_buckets:
        env[bucket.binding] = {"type": "r2", "name": bucket.bucket_name}
    for dataset in config.analytics_engine_datasets:
        env[dataset.binding] = {"type": "analytics-engine-dataset", "name": dataset.dataset or dataset.binding}
    if database_url is not None:
        for database in config.hyperdrive:
            dev = {"connectionString": database_url}
            env[database.binding] = {"type": "hyperdrive", "id": database.id, "dev": dev}
    return {
        "name": name,
        "compatibilityDate": config.compatibility_date,
        # The JavaScript host is no Python Worker to workerd, and Pyodide must not take it for Node. The others are for
        # backstage.mjs, which calls the Worker's own handlers and evicts objects.
        "compatibilityFlags": ["no_nodejs_compat", "service_binding_extra_handlers", "unsafe_module"],
        "env": env,
        "exports": {class_name: {"type": "durable-object", "storage": "sqlite"} for class_name in config.class_names()},
        "triggers": [
            *(_queue_trigger(consumer) for consumer in config.queues.consumers),
            *({"type": "scheduled", "schedule": cron} for cron in config.triggers.crons),
        ],
    }


def _queue_trigger(consumer: Consumer) -> dict[str, object]:
    trigger: dict[str, object] = {
        "type": "queue",
        "name": consumer.queue,
        "maxBatchSize": consumer.max_batch_size,
        "maxBatchTimeout": consumer.max_batch_timeout,
        "maxRetries": consumer.max_retries,
        "retryDelay": consumer.retry_delay,
    }
    if consumer.dead_letter_queue is not None:
        trigger["deadLetterQueue"] = consumer.dead_letter_queue
    return trigger
