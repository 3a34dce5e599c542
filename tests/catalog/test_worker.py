"""The catalog in the real workerd: shards are lost, and their number changes, and no job is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import msgspec

from local.process import LocalStack, wait_until
from tests.workerd.scene import changed_configuration

WAIT_S = 60.0
JOBS = 24


class _Job(msgspec.Struct, frozen=True):
    id: str
    status: str
    tags: list[str]


class _Page(msgspec.Struct, frozen=True):
    jobs: list[_Job]
    next_cursor: str | None
    incomplete: list[str]


class _Shard(msgspec.Struct, frozen=True):
    name: str
    jobs: int
    complete: bool


class _Catalog(msgspec.Struct, frozen=True):
    shards: list[_Shard]


@contextmanager
def running(directory: Path, *options: str) -> Generator[LocalStack]:
    """Start a stack, and kill everything of it at the end of the block."""
    stack = LocalStack(directory, arguments=["--no-services", *options])
    stack.start()
    try:
        yield stack
    finally:
        stack.kill()


def page(client: httpx.Client, **query: str) -> _Page:
    answer = client.get("/v1/jobs", params={"limit": "100", **query})
    assert answer.is_success, answer.text
    return msgspec.json.decode(answer.content, type=_Page)


def shards(client: httpx.Client) -> list[_Shard]:
    return msgspec.json.decode(client.get("/v1/catalog").raise_for_status().content, type=_Catalog).shards


def whole(client: httpx.Client) -> list[_Job]:
    """Wait until the catalog says that it is complete; return everything it lists."""
    wait_until(lambda: all(shard.complete for shard in shards(client)), timeout_s=WAIT_S)
    found = page(client)
    assert (found.next_cursor, found.incomplete) == (None, [])
    return found.jobs


def objects(directory: Path, class_name: str) -> list[Path]:
    """Return the databases of the objects of a class."""
    return [path for path in directory.glob(f"worker/do/*-{class_name}/*.sqlite") if path.stem != "metadata"]


def lose(directory: Path, class_name: str) -> None:
    """Have every object of a class lose everything, while nothing runs."""
    lost = objects(directory, class_name)
    assert len(lost) >= 4
    for path in lost:
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()


def has_jobs(path: Path) -> bool:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return bool(connection.execute("select 1 from sqlite_master where name = 'job'").fetchall())


def test_jobs_are_listed_across_shards_and_come_back_when_these_are_lost(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    items = [
        {
            "workflow": "diagnostic-echo",
            "payload": {"steps": 1},
            "options": {"mode": "direct", "tags": ["t"], "delay": 3600 * (number % 2)},
        }
        for number in range(JOBS)
    ]
    with running(directory) as stack, stack.client() as client:
        client.post("/v1/jobs/batch", json={"items": items}).raise_for_status()
        wait_until(lambda: sum(job.status == "completed" for job in page(client).jobs) == JOBS // 2, timeout_s=WAIT_S)
        wait_until(lambda: len(page(client).jobs) == JOBS, timeout_s=WAIT_S)
        before = whole(client)
        assert sum(shard.jobs > 0 for shard in shards(client)) == len(shards(client)) == 4
        pages = [page(client, limit="5")]
        while (cursor := pages[-1].next_cursor) is not None:
            pages.append(page(client, limit="5", cursor=cursor))
        assert [job for found in pages for job in found.jobs] == page(client, tag="t").jobs == before
    lose(directory, "CatalogObject")
    with running(directory) as stack, stack.client() as client:
        first = page(client)
        assert first.incomplete or first.jobs == before
        assert whole(client) == before
    lose(directory, "LedgerObject")
    with running(directory) as stack, stack.client() as client:
        assert client.post("/v1/catalog/rebuild").status_code == 202
        assert whole(client) == before
        stack.run_scheduled()
    # Another number of shards is built from those ledgers, and the old shards are deleted.
    options = changed_configuration(tmp_path, "[triggers]", '[vars]\nCATALOG_SHARDS = "2"\n\n[triggers]')
    with running(directory, *options) as stack, stack.client() as client:
        assert whole(client) == before
        assert [shard.name for shard in shards(client)] == ["catalog-2-0", "catalog-2-1"]
        stack.run_scheduled()
        assert whole(client) == before
    assert sum(has_jobs(path) for path in objects(directory, "CatalogObject")) == 2
