"""The embedded server: starts, stops, survives, and never outlives its launcher."""

# ruff: noqa: PT012 - that a whole block raises is what is tested

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from durable.postgres_pg8000 import Pg8000Database
from local import postgres
from orchestrator.ports import Database
from steps.platform.errors import DatabaseUnavailableError
from tests.database.support import value

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = """
import sys
from pathlib import Path
from local import postgres
server = postgres.start(Path(sys.argv[1]))
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


def use(url: str, body: Callable[[Database], Awaitable[object]]) -> object:
    async def run() -> object:
        database = Pg8000Database(url)
        try:
            return await body(database)
        finally:
            await database.close()

    return asyncio.run(run())


def gone(pid: int) -> None:
    """Wait for a process that may not be our child."""
    try:
        psutil.Process(pid).wait(30)
    except psutil.NoSuchProcess:
        return


def test_data_and_address_survive_a_restart(tmp_path: Path) -> None:
    with postgres.start(tmp_path) as first:
        use(first.url, lambda database: database.execute("create table t (n int); insert into t values (1)"))
    gone(first.pid)
    with postgres.start(tmp_path) as second:
        assert use(second.url, lambda database: value(database, "select n from t")) == 1
        assert second.url == first.url


def test_stopping_twice_is_fine(tmp_path: Path) -> None:
    server = postgres.start(tmp_path)
    server.stop()
    server.stop()
    assert not psutil.pid_exists(server.pid)


def test_settings_keep_commits(tmp_path: Path) -> None:
    async def settings(database: Database) -> list[object]:
        names = ("fsync", "synchronous_commit", "full_page_writes", "max_connections", "listen_addresses")
        return [await value(database, "select current_setting($1)", name) for name in names]

    with postgres.start(tmp_path) as server:
        assert use(server.url, settings) == ["on", "on", "on", "200", "127.0.0.1"]
        assert use(server.url, lambda database: value(database, "select name from pg_available_extensions"
                                                      " where name = 'vector'")) == "vector"  # fmt: skip


def test_the_password_is_needed_and_hidden(tmp_path: Path) -> None:
    with postgres.start(tmp_path) as server:
        password = server.url.split(":")[2].split("@")[0]
        assert len(password) > 30
        assert password not in repr(server)
        guard_and_server = [psutil.Process(server.pid), psutil.Process(server.pid).parent()]
        assert all(password not in " ".join(process.cmdline()) for process in guard_and_server if process)
        assert (tmp_path / "postgres" / "server.json").stat().st_mode & 0o077 == 0


def test_a_killed_server_comes_back_with_every_commit(tmp_path: Path) -> None:
    async def kill_in_a_statement(database: Database) -> None:
        await database.execute("create table t (n int)")
        for number in range(20):
            await database.execute("insert into t values ($1)", number)
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(DatabaseUnavailableError):
            while True:
                await database.fetch("select 1")

    server = postgres.start(tmp_path)
    use(server.url, kill_in_a_statement)
    server.stop()
    with postgres.start(tmp_path) as again:
        assert use(again.url, lambda database: value(database, "select count(*) from t")) == 20


@pytest.mark.parametrize("victims", ["launcher", "guard", "everything"])
def test_nothing_is_left_when_they_are_killed(tmp_path: Path, victims: str) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdin
    assert launcher.stdout
    line = launcher.stdout.readline().split()
    pid, url = int(line[0]), line[1]
    guard = psutil.Process(pid).parent()
    assert guard
    use(url, lambda database: database.execute("create table t (n int); insert into t values (7)"))
    for process in {"launcher": [launcher.pid], "guard": [guard.pid], "everything": [launcher.pid, guard.pid, pid]}[
        victims
    ]:
        os.kill(process, signal.SIGKILL)
    with postgres.start(tmp_path) as again:  # at once: it waits for the other to end
        gone(pid)
        assert use(again.url, lambda database: value(database, "select n from t")) == 7
    launcher.kill()
    launcher.communicate()


def test_a_pid_file_that_names_a_stranger_is_removed(tmp_path: Path) -> None:
    with postgres.start(tmp_path) as first:
        text = (tmp_path / "postgres" / "data" / "postmaster.pid").read_text()
    stranger = "\n".join([str(os.getpid()), *text.splitlines()[1:]])
    (tmp_path / "postgres" / "data" / "postmaster.pid").write_text(stranger)
    with postgres.start(tmp_path) as second:
        assert second.pid != first.pid
        assert use(second.url, lambda database: value(database, "select 1")) == 1


def test_another_port_when_the_remembered_one_is_taken(tmp_path: Path) -> None:
    with postgres.start(tmp_path) as first:
        port = int(first.url.rsplit(":", 1)[1].split("/")[0])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with postgres.start(tmp_path) as second:
            assert f":{port}/" not in second.url
            assert use(second.url, lambda database: value(database, "select 1")) == 1


def test_a_long_state_path(tmp_path: Path) -> None:
    """Unix sockets would limit it to about 90 characters."""
    with postgres.start(tmp_path / ("long" * 30)) as server:
        assert use(server.url, lambda database: value(database, "select 1")) == 1


def test_the_server_hears_the_launcher_end_even_while_busy(tmp_path: Path) -> None:
    server = postgres.start(tmp_path)

    async def busy(database: Database) -> None:
        task = asyncio.create_task(database.fetch("select pg_sleep(600)"))
        await database_is_busy(server.url)
        await asyncio.to_thread(server.stop)
        with pytest.raises(DatabaseUnavailableError):
            await task

    use(server.url, busy)
    assert not psutil.pid_exists(server.pid)


async def database_is_busy(url: str) -> None:
    observer = Pg8000Database(url)
    sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    while not await value(observer, sleeping):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)
    await observer.close()
