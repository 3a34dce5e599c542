"""Embeddings through the Workers AI binding."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from steps.embeddings import Embedded
from steps.embeddings.config import EmbeddingSettings, parse_embedding_config
from steps.embeddings.factory import embedder_for
from steps.embeddings.workers_ai import WorkersAiError

MODEL = "@cf/baai/bge-base-en-v1.5"
CONFIG = f'{{"provider":"WORKERS_AI","model":"{MODEL}"}}'


class Binding:
    """Plays the ``AI`` binding: answers like the bge models, or with what it is given."""

    def __init__(self, answer: str | WorkersAiError | None = None) -> None:
        self.calls: list[tuple[str, str]] = []
        self._answer = answer

    async def run(self, model: str, inputs_json: str) -> str:
        self.calls.append((model, inputs_json))
        if isinstance(self._answer, WorkersAiError):
            raise self._answer
        texts = msgspec.json.decode(inputs_json, type=dict[str, list[str]])["text"]
        data = [[float(len(text)), 0.5] for text in texts]
        made = msgspec.json.encode({"shape": [len(data), 2], "data": data, "pooling": "mean"}).decode()
        return self._answer if self._answer is not None else made


def embed(binding: Binding, texts: Sequence[str], config_json: str | None = CONFIG) -> Embedded:
    async def call() -> Embedded:
        settings = EmbeddingSettings(workers_ai_model=MODEL)
        async with HttpxHttp() as http:
            return await embedder_for(parse_embedding_config(config_json), settings, http, binding).embed(texts)

    return asyncio.run(call())


@pytest.mark.parametrize("config_json", [CONFIG, None], ids=["chosen by the namespace", "default of the deployment"])
def test_texts_become_vectors(config_json: str | None) -> None:
    binding = Binding()
    assert embed(binding, ["a", "bcd"], config_json) == Embedded([[1.0, 0.5], [3.0, 0.5]], 0)
    assert binding.calls == [(MODEL, '{"text":["a","bcd"]}')]


def test_no_texts_make_no_call() -> None:
    binding = Binding()
    assert embed(binding, []) == Embedded([], 0)
    assert binding.calls == []


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (
            WorkersAiError("InferenceUpstreamError: 3040: Capacity temporarily exceeded"),
            RetryableError,
            "embedding_rate_limited",
        ),
        (WorkersAiError("3036: You have used up your daily free allocation"), RetryableError, "embedding_rate_limited"),
        (WorkersAiError("AiError: 3007: Request timeout"), RetryableError, "embedding_unavailable"),
        (WorkersAiError("Network connection lost."), RetryableError, "embedding_unavailable"),
        (WorkersAiError("AiError: 5007: No such model"), NonRetryableError, "embedding_refused"),
        (WorkersAiError("AiError: 5006: Invalid input"), NonRetryableError, "embedding_refused"),
        ('{"data": [[0.1', RetryableError, "embedding_unavailable"),
        ('{"request_id": "queued"}', NonRetryableError, "embedding_bad_answer"),
        ('{"data": [[0.1]]}', NonRetryableError, "embedding_mismatch"),
    ],
)
def test_failures(answer: str | WorkersAiError, kind: type[OrchestratorError], code: str) -> None:
    with pytest.raises(kind) as caught:
        embed(Binding(answer), ["a", "b"])
    assert caught.value.error_code == code
