"""The Worker's main module: HTTP, queues and cron in, and the classes of its objects."""

from __future__ import annotations

import asyncio
from typing import Any

from workers import WorkerEntrypoint, asgi

from durable import bridge
from durable.alerts.round import look
from durable.alerts_object import AlertsObject
from durable.audit_backend import ObjectAudit
from durable.audit_object import AuditObject
from durable.bridge_calls import remember_no_called_objects
from durable.bridge_sockets import watch_request
from durable.bridge_timers import take_back_cancelled_timers
from durable.catalog_object import CatalogObject
from durable.catalog_upkeep import keep_up
from durable.consumer import consume, consume_dead
from durable.database_upkeep import keep_database_up
from durable.http.app import create_app
from durable.http.headers import origins_of
from durable.http.host import Host
from durable.http.keyring import rate_of
from durable.http.memory import GateMemory
from durable.job_object import JobObject
from durable.jobs_backend import ObjectJobs
from durable.key_object import KeyObject
from durable.keys_backend import ObjectKeys
from durable.lane_object import LaneObject
from durable.ledger_object import LedgerObject
from durable.object_calls import catalog_calls
from durable.object_network import JOBS, ObjectNetwork
from durable.object_platform import WorkerClock, WorkerEntropy, token_signer, write_log
from durable.queues import DEAD_LETTER_QUEUE
from durable.schedule_index_object import ScheduleIndexObject
from durable.schedule_object import ScheduleObject
from durable.schedule_round import go_round
from durable.schedules_backend import ObjectSchedules
from durable.sweeper import sweep
from durable.worker_database import DATABASE, WorkerDatabases
from durable.workflows import registry, schedules

__all__ = [
    "AlertsObject",
    "AuditObject",
    "CatalogObject",
    "Default",
    "JobObject",
    "KeyObject",
    "LaneObject",
    "LedgerObject",
    "ScheduleIndexObject",
    "ScheduleObject",
]

take_back_cancelled_timers()
remember_no_called_objects()
_app = create_app()
_memory = GateMemory()
# Found now, so that a deployed Worker's snapshot holds every workflow's imports.
registry()


class Default(WorkerEntrypoint):
    """What Cloudflare calls. One instance per event."""

    async def fetch(self, request: Any) -> Any:
        """Answer an HTTP request."""
        env = bridge.Env(self.env)
        jobs = ObjectJobs(env)
        watched: list[tuple[str, int, str]] = []
        host = Host(
            backend=jobs,
            schedules=ObjectSchedules(env),
            registry=registry(),
            clock=WorkerClock(),
            entropy=WorkerEntropy(),
            log=jobs.log,
            pause=asyncio.sleep,
            signer=lambda: token_signer(env),
            watch=lambda job_id, after, key_id: watched.append((job_id, after, key_id)),
            api_key=env.text("API_KEY"),
            keys=ObjectKeys(env),
            audit=ObjectAudit(env),
            memory=_memory,
            cors_origins=origins_of(env.text("CORS_ORIGINS")),
            rate_per_s=rate_of(env.text("API_RATE_PER_S")),
        )
        answer = await asgi.fetch(_app, bridge.IncomingRequest(request), host, self.ctx)
        for job_id, after, key_id in watched:
            return await env.fetch_object(JOBS, job_id, watch_request(request, after, key_id))
        return answer

    async def queue(self, batch: Any, env: object = None, ctx: object = None) -> None:
        """Consume a batch of a queue's messages."""
        name, messages = bridge.batch_of(batch)
        jobs = ObjectJobs(bridge.Env(self.env))
        if name == DEAD_LETTER_QUEUE:
            await consume_dead(messages, jobs, WorkerClock())
        else:
            await consume(name, messages, jobs, WorkerClock())

    async def scheduled(self, controller: Any, env: object = None, ctx: object = None) -> None:
        """Do what is to be done every minute."""
        env = bridge.Env(self.env)
        await sweep(ObjectJobs(env), WorkerClock())
        await keep_up(catalog_calls(env), WorkerClock(), write_log)
        await look(ObjectJobs(env), WorkerClock(), registry(), env.texts())
        await go_round(ObjectSchedules(env), WorkerClock(), schedules())
        if env.has(DATABASE):  # workflows need none
            await keep_database_up(WorkerDatabases(env), ObjectNetwork(env).create, write_log)
