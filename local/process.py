"""Run a local stack as a child process: for tests and for the demo, which also kill it."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx
import msgspec
import psutil

from local import state
from local.bundle import ROOT

#: A first start on a slow machine compiles the Worker's packages; later ones take about a second.
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 15.0
#: Output lines kept for a failure's message.
KEPT_LINES = 2_000
#: The binding of the bucket that documents lie in.
MAIN_BUCKET = "BLOBS"
#: Nothing here speaks TLS, and to load the world's certificates costs each client 70 ms.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class StackError(Exception):
    """The stack did not do what was asked; carries its last output."""


class _Line(msgspec.Struct, frozen=True):
    event: str = ""
    source: str = ""


class _Heap(msgspec.Struct, frozen=True):
    heap_bytes: int


class _Keys(msgspec.Struct, frozen=True):
    keys: list[str]


class LocalStack:
    """A local stack in a process of its own, on its own state directory.

    Args:
        directory: the state directory; a second stack on it resumes everything.
        port: where to listen; a free port for 0.
        arguments: further options of ``python -m local``, for instance another Worker.
        on_line: called with every line of output, in a thread of its own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 0,
        arguments: Sequence[str] = (),
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory
        self.lines: collections.deque[str] = collections.deque(maxlen=KEPT_LINES)
        self._port = port
        self._arguments = arguments
        self._on_line = on_line
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._changed = threading.Condition()
        self._ready = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def info(self) -> state.DevInfo:
        """What the running stack has published about itself."""
        return state.read_info(self.directory)

    @property
    def url(self) -> str:
        """Where the Worker answers."""
        return self.info.url

    @property
    def api_key(self) -> str:
        """The bearer key of the API and of the control server."""
        return self.info.api_key

    @property
    def database_url(self) -> str:
        """The Postgres connection string.

        Raises:
            StackError: the stack runs without Postgres.
        """
        url = self.info.database_url
        if url is None:
            raise StackError("this stack runs without a database")
        return url

    @property
    def control_url(self) -> str:
        """Where the control server answers."""
        return self.info.control_url

    @property
    def pid(self) -> int:
        """The launcher's process id."""
        if self._process is None:
            raise StackError("the stack is not running")
        return self._process.pid

    def client(self, *, timeout_s: float = 30.0) -> httpx.Client:
        """Return an HTTP client for the Worker's API, with the key. The caller closes it."""
        return httpx.Client(base_url=self.url, headers=self._headers(), timeout=timeout_s, verify=NO_CERTIFICATES)

    def start(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start the stack and wait until it is ready.

        Raises:
            StackError: it ended, or was not ready in time.
        """
        self._ready = False
        options = ["--port", str(self._port), "--state", str(self.directory), *self._arguments]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local", *options],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_ready(timeout_s=timeout_s)
        self._port = int(self.url.rpartition(":")[2])  # a restart keeps it

    def wait_ready(self, *, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the Worker answers, after a start or after :meth:`kill_workerd`.

        Raises:
            StackError: the stack ended, or was not ready in time.
        """
        with self._changed:
            done = self._changed.wait_for(lambda: self._ready or not self._running(), timeout_s)
        if not done or not self._ready:
            output = "\n".join(self.lines)
            raise StackError(f"the local stack {'ended' if done else 'is not ready'}; its output:\n{output}")

    def kill_workerd(self) -> int:
        """Kill workerd as a crash would; return its process id.

        The launcher starts it again, see :meth:`wait_ready`.
        """
        pid = self.info.workerd_pid
        self._ready = False
        os.kill(pid, signal.SIGKILL)
        return pid

    @contextlib.contextmanager
    def expect_restart(self) -> Generator[None]:
        """Wait at the end of the block until workerd has ended and runs again."""
        self._ready = False
        yield
        self.wait_ready()

    def kill(self) -> None:
        """Kill every process of the stack at once, as a power cut would."""
        if self._process is None:
            return
        launcher = psutil.Process(self._process.pid)
        family = [launcher, *launcher.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: all(_is_dead(process) for process in family), timeout_s=STOP_TIMEOUT_S)
        self._ended()

    def restart(self) -> None:
        """Kill everything and start again on the same state."""
        self.kill()
        self.start()

    def stop(self) -> None:
        """End the stack as Ctrl-C does; do nothing when it has ended."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._ended()

    def evict(self, class_name: str, name: str) -> None:
        """Make the platform forget an idle object's memory; its storage stays."""
        self._control("POST", "/evict", json={"class": class_name, "name": name}, timeout=60.0)

    def put_blob(
        self,
        key: str,
        content: bytes | Iterable[bytes],
        *,
        size_bytes: int | None = None,
        bucket: str = MAIN_BUCKET,
    ) -> None:
        """Store an object in one of the Worker's buckets, named by its binding; a stream needs its size."""
        headers = {} if size_bytes is None else {"content-length": str(size_bytes)}
        self._control("PUT", f"/r2/{quote(key)}?bucket={bucket}", content=content, headers=headers, timeout=300.0)

    def get_blob(self, key: str, *, bucket: str = MAIN_BUCKET) -> bytes:
        """Read an object of one of the Worker's buckets.

        Raises:
            StackError: there is none.
        """
        return self._control("GET", f"/r2/{quote(key)}?bucket={bucket}", timeout=300.0).content

    def list_blobs(self, *, bucket: str = MAIN_BUCKET) -> list[str]:
        """Return every key of one of the Worker's buckets, in order."""
        return msgspec.json.decode(self._control("GET", f"/r2?bucket={bucket}", timeout=60.0).content, type=_Keys).keys

    def deliver(self, queue: str, *bodies: object) -> None:
        """Hand messages to a queue's consumer in one batch, for instance duplicates."""
        messages = [{"body": body} for body in bodies]
        self._control("POST", f"/queue/{queue}", json={"messages": messages}, timeout=60.0)

    def run_scheduled(self) -> None:
        """Run the Worker's scheduled handler now.

        Raises:
            StackError: it ended with an exception.
        """
        self._control("POST", "/scheduled", json={}, timeout=60.0)

    def heap_bytes(self) -> int:
        """Return the peak size of the interpreter's WebAssembly memory since workerd started."""
        return msgspec.json.decode(self._control("GET", "/heap", timeout=60.0).content, type=_Heap).heap_bytes

    def _control(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        json: object = None,
        content: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        answer = httpx.request(
            method,
            f"{self.control_url}{path}",
            json=json,
            content=content,
            headers={**self._headers(), **(headers or {})},
            timeout=timeout,
            verify=NO_CERTIFICATES,
        )
        if answer.is_error:
            raise StackError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _ended(self) -> None:
        if self._process is not None:
            self._process.wait()
        if self._reader is not None:
            self._reader.join()
        self._process = self._reader = None
        self._ready = False

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._take(line.rstrip("\n"))
        process.wait()
        with self._changed:
            self._changed.notify_all()

    def _take(self, line: str) -> None:
        self.lines.append(line)
        if self._on_line is not None:
            self._on_line(line)
        if line.startswith("ready ") or _is_launcher_event(line, "python_restarted"):
            with self._changed:
                self._ready = True
                self._changed.notify_all()


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _is_launcher_event(line: str, event: str) -> bool:
    if event not in line:
        return False
    try:
        record = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        return False
    return record == _Line(event, "launcher")


def wait_until(condition: Callable[[], bool], *, timeout_s: float, every_s: float = 0.02) -> None:
    """Poll until ``condition`` holds.

    Raises:
        TimeoutError: it did not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true in time")
        time.sleep(every_s)
