"""What each platform tick does in the database: events that are left are delivered, and old rows go."""

from __future__ import annotations

from durable.event_delivery import Create, Log
from durable.object_platform import event_delivery
from durable.worker_database import WorkerDatabases
from orchestrator.logs import describe
from steps.platform.effects import forget_old_effects


async def keep_database_up(databases: WorkerDatabases, create: Create, log: Log) -> None:
    """Do a tick's work in the database. Never raises: the next tick comes in a minute."""
    try:
        await event_delivery().rest(databases.get(), create)
        await forget_old_effects(databases.get())
    except Exception as error:
        log("error", "database.upkeep_failed", {"error": describe(error)})
    finally:
        await databases.close()
