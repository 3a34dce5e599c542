"""The local embedding server, started as ``make dev`` starts it."""

from __future__ import annotations

import asyncio
import base64
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import numpy
import pytest

from local.embeddings import DIMENSIONS, MAX_INPUTS, Model
from local.http import HttpxHttp
from steps.embeddings import Embedded
from steps.embeddings.config import EmbeddingSettings
from steps.embeddings.factory import embedder_for

COMMAND = [sys.executable, "-m", "local.embeddings", "--port", "0"]


def ready_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"embeddings ready (http://127\.0\.0\.1:\d+/v1) model=\S+\n", line)
    assert found is not None, line
    return found.group(1)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ready_url(process)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


def post(url: str, body: object) -> httpx.Response:
    return httpx.post(f"{url}/embeddings", json=body, timeout=30, trust_env=False)


def vectors_of(response: httpx.Response) -> list[list[float]]:
    assert response.status_code == 200, response.text
    return [item["embedding"] for item in response.json()["data"]]


def test_health(url: str) -> None:
    answer = httpx.get(url.removesuffix("/v1") + "/healthz", trust_env=False)
    assert (answer.status_code, answer.json()["dimensions"]) == (200, DIMENSIONS)


def test_a_list_gives_unit_vectors_in_order(url: str) -> None:
    response = post(url, {"model": "any", "input": ["open a zip archive", "send an e-mail"]})
    vectors = vectors_of(response)
    assert [item["index"] for item in response.json()["data"]] == [0, 1]
    assert [len(vector) for vector in vectors] == [DIMENSIONS, DIMENSIONS]
    assert numpy.linalg.norm(vectors, axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)
    assert vectors_of(post(url, {"input": "send an e-mail"})) == [vectors[1]]
    usage = response.json()["usage"]
    assert usage["prompt_tokens"] == usage["total_tokens"] > 6


def test_base64_holds_the_same_floats(url: str) -> None:
    floats = vectors_of(post(url, {"input": ["text"]}))[0]
    encoded = post(url, {"input": ["text"], "encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert numpy.frombuffer(base64.b64decode(encoded), "<f4") == pytest.approx(floats, abs=1e-6)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": []},
        {"input": ""},
        {"input": ["a", ""]},
        {"input": ["a"] * (MAX_INPUTS + 1)},
        {"input": [1, 2]},
        {"input": "a", "encoding_format": "int8"},
        {"input": "a", "dimensions": 64},
        [],
    ],
)
def test_bad_requests_are_refused_in_openais_shape(url: str, body: object) -> None:
    response = post(url, body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_our_own_client_works_with_it(url: str) -> None:
    async def call() -> Embedded:
        async with HttpxHttp() as http:
            return await embedder_for(None, EmbeddingSettings(embeddings_url=url), http).embed(["x = 1", "", "λ 🚀"])

    result = asyncio.run(call())
    assert len(result.vectors) == 3
    assert result.tokens > 3


def test_256_long_texts_in_one_request(url: str) -> None:
    assert len(vectors_of(post(url, {"input": ["lorem ipsum " * 170] * 256}))) == 256


def test_vectors_do_not_depend_on_their_neighbours(model: Model) -> None:
    texts = ["def f(): pass", "word " * 400, "\n\n", "é", "\x00"]
    together, tokens = model.embed(texts)
    alone = [model.embed([text]) for text in texts]
    assert numpy.array_equal(together, numpy.concatenate([vectors for vectors, _ in alone]))
    assert tokens == sum(count for _, count in alone)
    assert numpy.isfinite(together).all()


def test_related_texts_are_nearer_than_unrelated_ones(model: Model) -> None:
    passages = [
        "class ZipFile: read, write and extract members of a zip archive",
        "smtplib.SMTP.login: authenticate with a mail server before sending a message",
        "heapq.heappop: remove and return the smallest item of the priority queue",
    ]
    questions = ["how do I unpack an archive?", "how do I send an email?", "how do I get the smallest element first?"]
    vectors, _ = model.embed([*passages, *questions])
    assert (vectors[3:] @ vectors[:3].T).argmax(axis=1).tolist() == [0, 1, 2]


def test_it_ends_with_its_parent() -> None:
    """A parent that dies without a word takes the server with it: its end of the pipe closes."""
    script = f"import subprocess, time; subprocess.Popen({COMMAND!r}); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        ready_url(parent)
        parent.kill()
        assert parent.stdout.read() == "", "end of file comes when the server, too, has let go of the pipe"
