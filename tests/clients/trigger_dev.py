"""A strict stub of the part of Trigger.dev's API that starts tasks.

Checks what the real one checks, and more: the key, the content type, every member of the body and its type. Keeps
idempotency keys per task. Sources: https://trigger.dev/docs/management/tasks/trigger and …/trigger-batch, and the
request schemas of triggerdotdev/trigger.dev (packages/core/src/v3/schemas/api.ts).

``python -m tests.clients.trigger_dev`` serves it for tests in other processes: these set faults and read the calls over
HTTP.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Literal, Self, TypeVar

import msgspec

T = TypeVar("T")

SECRET_KEY = "tr_test_the_key_of_the_stub"
MAX_ITEMS = 1_000
PATH = re.compile("/api/v1/tasks/([^/]+)/(trigger|batch)")

#: The tasks that are deployed, and the members of their payloads: those that must be there, and those that may.
TASKS = MappingProxyType(
    {
        "trigger-ingestion-job": ({"jobId"}, {"organizationId"}),
        "re-ingest-job": ({"jobId"}, set[str]()),
        "delete-document-job": ({"documentId"}, {"updateCounters", "skipWebhooks"}),
        "delete-ingest-job": ({"jobId"}, {"skipWebhooks"}),
        "delete-namespace-job": ({"namespaceId"}, set[str]()),
        "delete-organization-job": ({"organizationId"}, set[str]()),
        "meter-org-documents-job": ({"organizationId"}, set[str]()),
    }
)


class RunOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Options of one run."""

    tags: list[str] = []
    priority: int | None = None
    idempotencyKey: str | None = None  # noqa: N815 - their name
    idempotencyKeyTTL: str | None = None  # noqa: N815 - their name
    concurrencyKey: str | None = None  # noqa: N815 - their name
    delay: str | None = None
    ttl: str | int | None = None
    maxAttempts: int | None = None  # noqa: N815 - their name


class Run(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request for one run."""

    payload: dict[str, object]
    options: RunOptions = RunOptions()


class Batch(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A request for several runs of one task."""

    items: list[Run]


class Call(msgspec.Struct, frozen=True):
    """A run that was started."""

    id: str
    task: str
    payload: dict[str, object]
    options: RunOptions


class Fault(msgspec.Struct, frozen=True):
    """What happens to the next request: its answer is lost, or it is refused with a status."""

    kind: Literal["lost", "refused"]
    status: int = 429
    retry_after: str | None = None


class RefusedError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class State:
    """The runs and the faults."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.calls: list[Call] = []
        self.faults: list[Fault] = []
        self.requests = 0
        self._runs: dict[tuple[str, str], str] = {}

    def forget(self) -> None:
        with self.lock:
            self.calls, self.faults, self.requests, self._runs = [], [], 0, {}

    def answer(self, path: str, authorization: str, content_type: str, body: bytes) -> object:
        """Return the answer to a request.

        Raises:
            RefusedError: it is refused.
        """
        if authorization != f"Bearer {SECRET_KEY}":
            raise RefusedError(401, "Invalid or Missing API key")
        found = PATH.fullmatch(path)
        if found is None:
            raise RefusedError(404, "Not found")
        if content_type.partition(";")[0] != "application/json":
            raise RefusedError(400, "Invalid content type")
        task, kind = found.groups()
        if task not in TASKS:
            raise RefusedError(404, "Task not found")
        if kind == "trigger":
            run = _decode(body, Run)
            _check(task, run)
            return dict(zip(("id", "isCached"), self._start(task, run), strict=True))
        items = _decode(body, Batch).items
        if not 1 <= len(items) <= MAX_ITEMS:
            raise RefusedError(400, f"A batch has 1 to {MAX_ITEMS} items")
        for item in items:
            _check(task, item)
        return {"batchId": f"batch_{len(self.calls)}", "runs": [self._start(task, item)[0] for item in items]}

    def _start(self, task: str, run: Run) -> tuple[str, bool]:
        key = run.options.idempotencyKey
        known = None if key is None else self._runs.get((task, key))
        if known is not None:
            return known, True
        call = Call(f"run_td{len(self.calls)}", task, run.payload, run.options)
        self.calls.append(call)
        if key is not None:
            self._runs[task, key] = call.id
        return call.id, False


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise RefusedError(400, f"Invalid request body: {error}") from None


def _check(task: str, run: Run) -> None:
    required, optional = TASKS[task]
    if not required <= run.payload.keys() <= required | optional:
        raise RefusedError(400, f"The payload does not fit {task}")
    if len(run.options.tags) > 10 or any(not 1 <= len(tag) <= 128 for tag in run.options.tags):
        raise RefusedError(422, "Tags")
    if run.options.priority is not None and run.options.priority < 0:
        raise RefusedError(422, "Priority")


class TriggerDev:
    """The stub, served on loopback while the block runs."""

    def __init__(self, port: int = 0) -> None:
        self._state = State()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self._state))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def calls(self) -> list[Call]:
        """The runs that were started, in order."""
        return self._state.calls

    @property
    def requests(self) -> int:
        """How many requests arrived."""
        return self._state.requests

    def fail(self, *faults: Fault) -> None:
        """Have the next requests fail, one by one."""
        self._state.faults.extend(faults)

    def forget(self) -> None:
        """Forget every run, fault and count."""
        self._state.forget()


def _handler(state: State) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Show what arrived: for tests in other processes."""
            with state.lock:
                self._reply(200, {"calls": state.calls, "requests": state.requests})

        def do_PUT(self) -> None:
            """Forget everything and take new faults: for tests in other processes."""
            state.forget()
            state.faults.extend(msgspec.json.decode(self._body(), type=list[Fault]))
            self._reply(200, {})

        def do_POST(self) -> None:
            body = self._body()
            with state.lock:
                state.requests += 1
                fault = state.faults.pop(0) if state.faults else None
                if fault is not None and fault.kind == "refused":
                    headers = {} if fault.retry_after is None else {"retry-after": fault.retry_after}
                    self._reply(fault.status, {"error": "Not now"}, headers)
                    return
                try:
                    authorization, kind = (self.headers.get(name, "") for name in ("authorization", "content-type"))
                    status, found = 200, state.answer(self.path, authorization, kind, body)
                except RefusedError as refusal:
                    status, found = refusal.status, {"error": str(refusal)}
            if fault is not None:
                self.close_connection = True  # the answer is lost
                return
            self._reply(status, found)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
            content = msgspec.json.encode(body)
            self.send_response(status)
            sent = {"content-type": "application/json", "content-length": str(len(content)), **(headers or {})}
            for name, value in sent.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            return None

    return Handler


def main(wait: Callable[[], object] = sys.stdin.read) -> None:
    """Serve until standard input ends."""
    with TriggerDev() as stub:
        print(stub.url, flush=True)
        wait()


if __name__ == "__main__":
    main()
