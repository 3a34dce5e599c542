"""Starting, refusing to start, stopping and dying."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from local import state
from local.bundle import ROOT
from local.process import LocalStack, wait_until

from .conftest import PROBE, PROBE_ARGUMENTS


def launch(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher in a case where it ends by itself."""
    command = [sys.executable, "-m", "local", *PROBE_ARGUMENTS, "--no-services", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def bare(tmp_path: Path) -> LocalStack:
    """A stack without services, not started."""
    return LocalStack(tmp_path / "state", arguments=(*PROBE_ARGUMENTS, "--no-services"))


def note(stack: LocalStack, text: str) -> list[str]:
    with stack.client() as client:
        client.get("/note", params={"name": "launcher", "text": text}).raise_for_status()
        return client.get("/events", params={"name": "launcher"}).raise_for_status().json()


def test_dev_json_tells_how_to_reach_a_ready_stack(probe_stack: LocalStack) -> None:
    info = probe_stack.info
    assert f"ready {info.url}" in probe_stack.lines
    assert info.pid == probe_stack.pid
    assert psutil.Process(info.workerd_pid).name() == "workerd"
    assert state.info_path(probe_stack.directory).stat().st_mode & 0o077 == 0
    assert info.api_key not in repr(info)
    assert info.database_url is not None


def test_a_taken_port_is_refused_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = launch("--port", str(port), "--state", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: port {port} is in use; choose another with PORT=…\n"


def test_a_state_in_use_is_refused_in_one_line(tmp_path: Path) -> None:
    with state.locked(tmp_path):
        done = launch("--port", "0", "--state", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    held = f"error: the state directory {tmp_path} is in use by another process; end that one, or choose another folder"
    assert done.stderr == f"{held} with STATE=…\n"


def write_worker(folder: Path, body: str) -> tuple[str, ...]:
    """Write a package with a Worker; return the launcher's options for it."""
    package = folder / "broken"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "worker.py").write_text(f"from workers import DurableObject, WorkerEntrypoint\n{body}\n")
    state_options = ("--port", "0", "--state", str(folder / "state"))
    return (*state_options, "--main", "broken.worker", "--package", str(package))


def test_a_worker_that_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    classes = "class Probe(DurableObject): ...\nclass Default(WorkerEntrypoint): ...\n1 / 0"
    done = launch(*write_worker(tmp_path, classes))
    assert done.returncode == 1
    assert 'broken/worker.py\\", line 4' in done.stdout  # the traceback is in the log
    assert (
        done.stderr
        == "error: the Worker did not start: ZeroDivisionError: division by zero (broken/worker.py, line 4)\n"
    )


def test_a_source_that_does_not_compile_is_told_with_its_line(tmp_path: Path) -> None:
    done = launch(*write_worker(tmp_path, "def broken(:\n    pass"))
    place = tmp_path / "broken" / "worker.py"
    assert done.stderr == f"error: {place}, line 2: SyntaxError: invalid syntax: def broken(:\n"


def test_code_that_is_saved_is_loaded_and_mistakes_are_told(tmp_path: Path) -> None:
    package = tmp_path / "probe"
    shutil.copytree(PROBE, package, ignore=shutil.ignore_patterns("__pycache__"))
    config = ("--config", str(PROBE / "wrangler.toml"), "--main", "probe.worker", "--package", str(package))
    worker = package / "worker.py"
    source = worker.read_text()

    def version(stack: LocalStack) -> str:
        with stack.client() as client, contextlib.suppress(httpx.TransportError):
            return client.get("/version").text
        return ""

    def save(text: str) -> None:
        worker.write_text(source.replace('VERSION = "1"', text))

    with LocalStack(tmp_path / "state", arguments=(*config, "--no-services", "--reload")) as stack:
        assert note(stack, "before") == ["before"]
        assert version(stack) == "1"
        for mistake, told in (("VERSION = (", "SyntaxError"), ("VERSION = 1 / 0", "ZeroDivisionError")):
            save(mistake)
            wait_until(lambda told=told: any(told in line for line in stack.lines), timeout_s=30)  # type: ignore[misc]
        save('VERSION = "2"')
        wait_until(lambda: version(stack) == "2", timeout_s=30)
        assert note(stack, "after") == ["before", "after"]


def test_a_missing_class_is_refused(tmp_path: Path) -> None:
    done = launch(*write_worker(tmp_path, "class Default(WorkerEntrypoint): ..."))
    assert done.returncode == 1
    assert done.stderr == "error: broken.worker does not export the Durable Object class Probe\n"


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that still run; one that has ended and waits for its parent's notice does not."""
    found: list[psutil.Process] = []
    _, left = psutil.wait_procs(family, timeout=5)  # the last one may still be ending
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_process(bare: LocalStack, number: signal.Signals) -> None:
    bare.start()
    launcher = psutil.Process(bare.pid)
    family = launcher.children(recursive=True)
    assert bare.info.workerd_pid in {process.pid for process in family}
    launcher.send_signal(number)
    bare.stop()
    assert alive(family) == []
    assert not state.info_path(bare.directory).exists()


def test_no_process_outlives_a_killed_launcher(bare: LocalStack) -> None:
    bare.start()
    launcher = psutil.Process(bare.pid)
    family = launcher.children(recursive=True)
    launcher.kill()
    wait_until(lambda: not any(is_alive(process) for process in family), timeout_s=10)
    bare.stop()


def test_everything_resumes_after_every_process_was_killed(bare: LocalStack) -> None:
    bare.start()
    first = bare.info
    assert note(bare, "before") == ["before"]
    with bare.client() as client:
        client.get("/arm", params={"name": "launcher", "ms": 50}).raise_for_status()
    bare.restart()
    try:
        assert (bare.url, bare.api_key) == (first.url, first.api_key)
        with bare.client() as client:
            # At least once: an alarm that was being run when everything was killed is run again.
            wait_until(lambda: events_of(client)[:2] == ["before", "alarm"], timeout_s=10)
    finally:
        bare.stop()


def events_of(client: httpx.Client) -> list[str]:
    return client.get("/events", params={"name": "launcher"}).raise_for_status().json()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
