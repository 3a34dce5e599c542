"""The providers' embedding calls, as domain.md §3.4 fixes them. One call each, no retries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Http
from steps.embeddings import Embedded
from steps.json_api import JsonApi

AREA = "embedding"

#: Sent for a text that is empty or blank: some providers refuse those, failing a whole document (W-35). Every
#: provider embeds this, and the stored chunk keeps its own text.
EMPTY_TEXT_STAND_IN = "(empty)"

#: Whether texts are stored or searched with. Only Voyage embeds the two differently.
Purpose = Literal["document", "query"]


class _OpenAiVector(msgspec.Struct, frozen=True):
    embedding: list[float]
    index: int | None = None


class _OpenAiUsage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _OpenAiAnswer(msgspec.Struct, frozen=True):
    data: list[_OpenAiVector]
    usage: _OpenAiUsage | None = None


class _GoogleVector(msgspec.Struct, frozen=True):
    values: list[float]


class _GoogleOne(msgspec.Struct, frozen=True):
    embedding: _GoogleVector


class _GoogleMany(msgspec.Struct, frozen=True):
    embeddings: list[_GoogleVector]


class OpenAiEmbedder:
    """OpenAI's wire format: OpenAI itself, Azure, and every compatible server.

    Args:
        api: where; its base ends before ``/embeddings``.
        model: the model, or on Azure the deployment.
        query: the query string with its question mark, or nothing.
    """

    def __init__(self, api: JsonApi, *, model: str, query: str = "") -> None:
        self._api = api
        self._model = model
        self._path = f"/embeddings{query}"

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See :class:`steps.embeddings.Embedder`."""
        if not texts:
            return Embedded([], 0)
        body = {"model": self._model, "input": sendable(texts), "encoding_format": "float"}
        answer = await self._api.post(self._path, body, _OpenAiAnswer)
        tokens = answer.usage.prompt_tokens if answer.usage else None
        return matched(texts, _in_order(answer.data), tokens)


class VoyageEmbedder:
    """Voyage: like OpenAI's format, but it is told what the texts are for and counts tokens elsewhere."""

    def __init__(self, api: JsonApi, *, model: str, purpose: Purpose) -> None:
        self._api = api
        self._model = model
        self._purpose = purpose

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See :class:`steps.embeddings.Embedder`."""
        if not texts:
            return Embedded([], 0)
        body = {"input": sendable(texts), "model": self._model, "input_type": self._purpose}
        answer = await self._api.post("/embeddings", body, _OpenAiAnswer)
        tokens = answer.usage.total_tokens if answer.usage else None
        return matched(texts, _in_order(answer.data), tokens)


class GoogleEmbedder:
    """Google AI, which reports no token usage: 0 is counted (W-14)."""

    def __init__(self, api: JsonApi, *, model: str) -> None:
        self._api = api
        self._model = f"models/{model}"

    async def embed(self, texts: Sequence[str]) -> Embedded:
        """See :class:`steps.embeddings.Embedder`."""
        if not texts:
            return Embedded([], 0)
        parts = [[{"text": text}] for text in sendable(texts)]
        if len(parts) == 1:
            one = await self._api.post(
                f"/{self._model}:embedContent", {"model": self._model, "content": {"parts": parts[0]}}, _GoogleOne
            )
            return matched(texts, [one.embedding.values], None)
        requests = [{"model": self._model, "content": {"role": "user", "parts": part}} for part in parts]
        many = await self._api.post(f"/{self._model}:batchEmbedContents", {"requests": requests}, _GoogleMany)
        return matched(texts, [vector.values for vector in many.embeddings], None)


def openai(http: Http, *, model: str, api_key: str) -> OpenAiEmbedder:
    """Return a client of OpenAI."""
    headers = {"authorization": f"Bearer {api_key}"}
    api = JsonApi(http, name="OpenAI", area=AREA, base_url="https://api.openai.com/v1", headers=headers, secret=api_key)
    return OpenAiEmbedder(api, model=model)


def azure(
    http: Http, *, resource_label: str, deployment: str, api_key: str, api_version: str = "preview"
) -> OpenAiEmbedder:
    """Return a client of one Azure resource; ``resource_label`` is its DNS label."""
    base_url = f"https://{resource_label}.openai.azure.com/openai/v1"
    api = JsonApi(http, name="Azure OpenAI", area=AREA, base_url=base_url, headers={"api-key": api_key}, secret=api_key)
    return OpenAiEmbedder(api, model=deployment, query=f"?api-version={quote(api_version, safe='')}")


def openai_compatible(http: Http, *, base_url: str, model: str, api_key: str | None = None) -> OpenAiEmbedder:
    """Return a client of any server that speaks OpenAI's format; ``base_url`` usually ends in ``/v1``."""
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    api = JsonApi(
        http,
        name="The embedding server",
        area=AREA,
        base_url=base_url.rstrip("/"),
        headers=headers,
        secret=api_key,
    )
    return OpenAiEmbedder(api, model=model)


def voyage(http: Http, *, model: str, api_key: str, purpose: Purpose) -> VoyageEmbedder:
    """Return a client of Voyage."""
    headers = {"authorization": f"Bearer {api_key}"}
    api = JsonApi(
        http, name="Voyage", area=AREA, base_url="https://api.voyageai.com/v1", headers=headers, secret=api_key
    )
    return VoyageEmbedder(api, model=model, purpose=purpose)


def google(http: Http, *, model: str, api_key: str) -> GoogleEmbedder:
    """Return a client of Google AI."""
    base_url = "https://generativelanguage.googleapis.com/v1beta"
    api = JsonApi(
        http, name="Google AI", area=AREA, base_url=base_url, headers={"x-goog-api-key": api_key}, secret=api_key
    )
    return GoogleEmbedder(api, model=model)


def sendable(texts: Sequence[str]) -> list[str]:
    """Return the texts with a stand-in for blank ones."""
    return [text if text.strip() else EMPTY_TEXT_STAND_IN for text in texts]


def matched(texts: Sequence[str], vectors: list[list[float]], tokens: int | None) -> Embedded:
    """Return the answer once it is sure that each text has its vector.

    Raises:
        NonRetryableError: code ``embedding_mismatch``.
    """
    if len(vectors) != len(texts):
        raise mismatch(f"{len(texts)} texts were sent and {len(vectors)} vectors came back")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1 or 0 in lengths:
        raise mismatch(f"vectors of lengths {sorted(lengths)} came back")
    return Embedded(vectors, max(tokens or 0, 0))


def mismatch(what: str) -> NonRetryableError:
    """Return the error for vectors that cannot be matched to the texts."""
    return NonRetryableError(f"The embedding provider's answer does not fit: {what}", code="embedding_mismatch")


def _in_order(data: list[_OpenAiVector]) -> list[list[float]]:
    """Return the vectors; chunks are matched to them by position, so a stated index must agree."""
    for position, item in enumerate(data):
        if item.index is not None and item.index != position:
            raise mismatch(f"vector {item.index} came back at position {position}")
    return [item.embedding for item in data]
