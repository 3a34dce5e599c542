"""``diagnostic-platform``: checks, from where the jobs run, what they need. ``orchestrator doctor`` starts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from pydantic import BaseModel, ConfigDict

from orchestrator import NO_RETRY, JobContext, current_step, workflow
from orchestrator.ports import Blobs
from orchestrator.retry import error_code
from steps.services import services

#: A table of each part of the schema: the platform's own, and ours.
_PLATFORM_TABLE, _OUR_TABLE = "public.document", "wf.effect"


class CheckPayload(BaseModel):
    """``diagnostic-platform`` needs nothing."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{}]})


class Part(BaseModel):
    """One thing that jobs need."""

    name: str
    ok: bool
    detail: str


class PlatformReport(BaseModel):
    """What was found."""

    parts: list[Part]
    #: Which settings have a value; the values stay where they are.
    settings: dict[str, bool]


async def check_database() -> Part:
    """Ask Postgres for its version and our tables."""

    async def ask() -> str:
        row = (
            await services()
            .database()
            .fetchrow(
                "select current_setting('server_version') as version, to_regclass($1)::text as platform,"
                " to_regclass($2)::text as ours",
                _PLATFORM_TABLE,
                _OUR_TABLE,
            )
        )
        assert row is not None  # noqa: S101 - a select without a table has one row
        missing = [name for name, found in ((_PLATFORM_TABLE, row["platform"]), (_OUR_TABLE, row["ours"])) if not found]
        if missing:
            raise LookupError(f"Postgres {row['version']} answers, but has no {' and no '.join(missing)}")
        return f"Postgres {row['version']}, with the platform's tables and ours"

    return await _part("database", ask)


async def check_blobs(name: str) -> Part:
    """Write, read and delete an object."""
    found = services()
    bucket: Blobs = {"blobs": found.blobs, "images": found.images, "assets": found.assets}[name]
    key = f"diagnostics/{current_step().job_id}"

    async def ask() -> str:
        await bucket.put(key, b"checked")
        content = await bucket.get(key)
        await bucket.delete(key)
        if content != b"checked":
            raise LookupError("an object that was written cannot be read")
        return "written, read and deleted an object"

    return await _part(f"bucket {name}", ask)


async def check_settings() -> dict[str, bool]:
    """Tell which settings have a value."""
    return configured(services().settings)


def configured(settings: msgspec.Struct, prefix: str = "") -> dict[str, bool]:
    """Return, for each optional setting by its dotted name, whether it has a value."""
    found: dict[str, bool] = {}
    for field in msgspec.structs.fields(settings):
        value = cast("object", getattr(settings, field.name))
        if isinstance(value, msgspec.Struct):
            found |= configured(value, f"{prefix}{field.name}.")
        elif value is None or isinstance(value, str):
            found[f"{prefix}{field.name}"] = bool(value)
    return found


async def _part(name: str, ask: Callable[[], Awaitable[str]]) -> Part:
    """Return what a check found; a failure is a finding, and shows its code, since its text may name addresses."""
    try:
        return Part(name=name, ok=True, detail=await ask())
    except LookupError as error:
        return Part(name=name, ok=False, detail=str(error))
    except Exception as error:
        return Part(name=name, ok=False, detail=error_code(error))


@workflow("diagnostic-platform")
async def diagnostic_platform(job: JobContext, payload: CheckPayload) -> PlatformReport:
    """Check the database, the buckets and which settings have a value, one step each."""
    once = job.options(retry=NO_RETRY)
    parts = [await once.step("database", check_database)]
    for bucket in ("blobs", "images", "assets"):
        parts.append(await once.step(f"bucket {bucket}", check_blobs, bucket))
    return PlatformReport(parts=parts, settings=await job.step("settings", check_settings))
