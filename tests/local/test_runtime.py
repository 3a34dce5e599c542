"""The local runtime gives a Python Worker what the platform gives it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from local.process import LocalStack, StackError, wait_until


def events(probe: httpx.Client, name: str) -> list[str]:
    return probe.get("/events", params={"name": name}).raise_for_status().json()


def test_an_object_keeps_its_rows_over_an_eviction(probe_stack: LocalStack, probe: httpx.Client) -> None:
    probe.get("/note", params={"name": "evicted", "text": "before"}).raise_for_status()
    before = probe.get("/incarnation", params={"name": "evicted"}).text
    probe_stack.evict("Probe", "evicted")
    assert events(probe, "evicted") == ["before"]
    assert probe.get("/incarnation", params={"name": "evicted"}).text != before


def test_an_alarm_fires(probe: httpx.Client) -> None:
    probe.get("/arm", params={"name": "alarm", "ms": 10}).raise_for_status()
    wait_until(lambda: events(probe, "alarm") == ["alarm"], timeout_s=10)


def test_an_alarm_fires_after_workerd_was_killed(probe_stack: LocalStack, probe: httpx.Client) -> None:
    probe.get("/arm", params={"name": "crashed", "ms": 200}).raise_for_status()
    killed = probe_stack.kill_workerd()
    probe_stack.wait_ready()
    assert probe_stack.info.workerd_pid != killed
    wait_until(lambda: events(probe, "crashed") == ["alarm"], timeout_s=10)


def test_a_queued_message_reaches_the_consumer(probe: httpx.Client) -> None:
    probe.get("/enqueue", params={"text": "queued"}).raise_for_status()
    wait_until(lambda: "queued" in events(probe, "queue"), timeout_s=10)


def test_duplicates_can_be_delivered(probe_stack: LocalStack, probe: httpx.Client) -> None:
    probe_stack.deliver("probe-queue", {"text": "twice"}, {"text": "twice"})
    assert events(probe, "queue").count("twice") == 2


def test_the_scheduled_handler_runs(probe_stack: LocalStack, probe: httpx.Client) -> None:
    probe_stack.run_scheduled()
    assert "* * * * *" in events(probe, "cron")


def test_python_reaches_postgres_through_hyperdrive(probe: httpx.Client) -> None:
    assert probe.get("/database").raise_for_status().json() == [[42]]


def test_postgres_is_started_again_where_it_was(probe_stack: LocalStack, probe: httpx.Client) -> None:
    (server,) = (item for item in psutil.Process(probe_stack.pid).children(True) if is_postgres(item))
    server.kill()
    wait_until(lambda: any("postgres_restarted" in line for line in list(probe_stack.lines)), timeout_s=20)
    assert probe.get("/database").raise_for_status().json() == [[42]]


def is_postgres(process: psutil.Process) -> bool:
    """Tell whether this is the server itself, which alone has the data directory on its command line."""
    return Path(process.exe()).name == "postgres" and "-D" in process.cmdline()


def test_python_reaches_http_servers(probe_stack: LocalStack, probe: httpx.Client) -> None:
    address = probe_stack.info.embeddings_url
    assert address is not None
    answer = probe.get("/fetch", params={"url": address.removesuffix("/v1") + "/healthz"})
    assert answer.json()["status"] == "ok"


def test_objects_stream_into_the_bucket(probe_stack: LocalStack, probe: httpx.Client) -> None:
    block = bytes(range(256)) * 4096

    def blocks() -> Iterator[bytes]:
        for _ in range(12):
            yield block

    probe_stack.put_blob("folder/a name.bin", blocks(), size_bytes=12 * len(block))
    stored = probe_stack.get_blob("folder/a name.bin")
    assert hashlib.sha256(stored).digest() == hashlib.sha256(block * 12).digest()
    probe_stack.put_blob("small.txt", b"hello")
    assert probe.get("/blob", params={"key": "small.txt"}).text == "hello"


def test_buckets_are_told_apart(probe_stack: LocalStack) -> None:
    probe_stack.put_blob("a ?name#.png", b"an image", bucket="IMAGES")
    assert probe_stack.get_blob("a ?name#.png", bucket="IMAGES") == b"an image"
    assert probe_stack.list_blobs(bucket="IMAGES") == ["a ?name#.png"]
    with pytest.raises(StackError, match="404"):
        probe_stack.get_blob("a ?name#.png")


def test_an_absent_object_is_an_error(probe_stack: LocalStack) -> None:
    with pytest.raises(StackError, match="404"):
        probe_stack.get_blob("nothing")


def test_the_heap_can_be_read(probe_stack: LocalStack) -> None:
    assert probe_stack.heap_bytes() > 1_000_000


def test_control_needs_the_key(probe_stack: LocalStack) -> None:
    answer = httpx.post(f"{probe_stack.control_url}/evict", json={"class": "Probe", "name": "x"})
    assert answer.status_code == 401


def test_prints_become_structured_lines(probe_stack: LocalStack, probe: httpx.Client) -> None:
    probe.get("/print", params={"text": "plain words"}).raise_for_status()
    probe.get("/print", params={"text": json.dumps({"event": "own", "level": "warning"})}).raise_for_status()

    def printed() -> bool:
        lines = [json.loads(line) for line in list(probe_stack.lines) if line.startswith("{")]
        plain = any(line.get("message") == "plain words" and line["source"] == "worker" for line in lines)
        return plain and any(line.get("event") == "own" and line["level"] == "warning" for line in lines)

    wait_until(printed, timeout_s=10)


CONTROLS: list[Callable[[LocalStack], None]] = [
    lambda stack: stack.run_scheduled(),
    lambda stack: stack.deliver("probe-queue", {"text": "amid output"}),
    lambda stack: stack.evict("Probe", "amid output"),
]


@pytest.mark.parametrize("control", CONTROLS, ids=["scheduled", "queue", "evict"])
def test_a_control_amid_much_output_stops_nothing(
    control: Callable[[LocalStack], None], probe_stack: LocalStack
) -> None:
    """Who reads what workerd prints must not wait for its answer meanwhile: the full pipe would stop both."""
    with probe_stack.expect_restart():  # the first call after a start is the one that miniflare would wait for
        probe_stack.kill_workerd()
    word = f"spoken-{uuid.uuid4()} " + "word " * 1_600
    with probe_stack.client(timeout_s=60) as client, ThreadPoolExecutor(1) as pool:
        client.get("/note", params={"name": "amid output", "text": "here"}).raise_for_status()
        printing = pool.submit(client.get, "/print", params={"text": word, "times": 400})
        wait_until(lambda: any(word[:40] in line for line in list(probe_stack.lines)), timeout_s=30, every_s=0.01)
        control(probe_stack)
        assert printing.result().text == "ok"


def test_a_fatal_interpreter_error_restarts_the_runtime(probe_stack: LocalStack, probe: httpx.Client) -> None:
    killed = probe_stack.info.workerd_pid
    with probe_stack.expect_restart(), pytest.raises(httpx.HTTPError):
        probe.get("/trap").raise_for_status()
    assert probe_stack.info.workerd_pid != killed
    probe.get("/note", params={"name": "trapped", "text": "alive"}).raise_for_status()
    assert events(probe, "trapped") == ["alive"]
