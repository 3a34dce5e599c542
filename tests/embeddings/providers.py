"""The embedding providers as strict stubs: they refuse whatever the real ones would."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from orchestrator.ports import Http
from steps.embeddings import Embedder
from steps.embeddings.config import EmbeddingSettings, parse_embedding_config
from steps.embeddings.factory import embedder_for
from tests.embeddings.stub_server import Answer, Received, Reply, Rerouted, json_reply

SECRET = "sk-Stub-Secret-0123456789"
NO_SETTINGS = EmbeddingSettings()


def vector_of(text: str, purpose: str = "document") -> list[float]:
    digest = hashlib.sha256(f"{purpose}:{text}".encode()).digest()
    return [(byte - 128) / 128 for byte in digest[:8]]


class Provider(msgspec.Struct, frozen=True):
    """How one provider is reached and what it charges for two texts of one token each."""

    name: str
    origin: str
    config_json: str | None
    settings: EmbeddingSettings
    answer: Answer
    tokens_for_two: int

    def embedder(self, http: Http, stub_url: str, *, purpose: str = "document") -> Embedder:
        return embedder_for(
            parse_embedding_config(self.config_json),
            self.settings,
            Rerouted(http, {self.origin: stub_url}),
            purpose="query" if purpose == "query" else "document",
        )


class _OpenAiBody(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    input: list[str]
    encoding_format: str


class _VoyageBody(msgspec.Struct, forbid_unknown_fields=True):
    input: list[str]
    model: str
    input_type: str


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    parts: list[_Part]
    role: str | None = None


class _GoogleRequest(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    content: _Content


class _GoogleBody(msgspec.Struct, forbid_unknown_fields=True):
    requests: list[_GoogleRequest]


def openai_answer(request: Received, *, path: str, query: str, auth: tuple[str, str | None], model: str) -> Reply:
    if request.headers.get(auth[0]) != auth[1]:
        return json_reply(
            {"error": {"message": f"Incorrect API key provided: {auth[1]}", "code": "invalid_api_key"}}, 401
        )
    if (request.method, request.path, request.query) != ("POST", path, query):
        return json_reply({"error": {"message": f"Resource not found: {request.path}?{request.query}"}}, 404)
    body = msgspec.json.decode(request.body, type=_OpenAiBody)
    if body.model != model or body.encoding_format != "float":
        return json_reply({"error": {"message": f"The model `{body.model}` does not exist"}}, 404)
    if refusal := _refused(body.input, 2048):
        return json_reply({"error": {"message": refusal}}, 400)
    data = [{"object": "embedding", "index": i, "embedding": vector_of(t)} for i, t in enumerate(body.input)]
    usage = {"prompt_tokens": _tokens(body.input), "total_tokens": 999}
    return json_reply({"object": "list", "data": data, "model": body.model, "usage": usage})


def _voyage_answer(request: Received) -> Reply:
    if request.headers.get("authorization") != f"Bearer {SECRET}":
        return json_reply({"detail": "Provided API key is invalid."}, 401)
    if request.path != "/v1/embeddings" or request.query:
        return json_reply({"detail": "Not Found"}, 404)
    body = msgspec.json.decode(request.body, type=_VoyageBody)
    if body.model != "voyage-3-large" or body.input_type not in ("document", "query"):
        return json_reply({"detail": "Model or input_type is not supported."}, 400)
    if refusal := _refused(body.input, 128):
        return json_reply({"detail": refusal}, 400)
    data = [
        {"object": "embedding", "embedding": vector_of(text, body.input_type), "index": i}
        for i, text in enumerate(body.input)
    ]
    return json_reply({"object": "list", "data": data, "usage": {"total_tokens": _tokens(body.input)}})


def _google_answer(request: Received) -> Reply:
    if request.headers.get("x-goog-api-key") != SECRET:
        return json_reply({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}, 400)
    model = "models/text-embedding-004"
    if request.path == f"/v1beta/{model}:embedContent":
        one = msgspec.json.decode(request.body, type=_GoogleRequest)
        text = one.content.parts[0].text
        if one.model != model or one.content.role is not None or _refused([text], 1):
            return json_reply({"error": {"message": "Request contains an invalid argument."}}, 400)
        return json_reply({"embedding": {"values": vector_of(text)}})
    if request.path == f"/v1beta/{model}:batchEmbedContents":
        many = msgspec.json.decode(request.body, type=_GoogleBody).requests
        texts = [item.content.parts[0].text for item in many]
        wrong = any(item.model != model or item.content.role != "user" for item in many)
        if wrong or _refused(texts, 100):
            return json_reply({"error": {"message": "Request contains an invalid argument."}}, 400)
        return json_reply({"embeddings": [{"values": vector_of(text)} for text in texts]})
    return json_reply({"error": {"message": "Not found."}}, 404)


def _refused(texts: Sequence[str], limit: int) -> str | None:
    if not texts or len(texts) > limit:
        return f"'input' must have 1 to {limit} items."
    return "'input' cannot be an empty string." if any(not text.strip() for text in texts) else None


def _tokens(texts: Sequence[str]) -> int:
    return sum(len(text.split()) for text in texts)


def _config(**fields: str) -> str:
    return msgspec.json.encode(fields).decode()


_AZURE_PATH = "/openai/v1/embeddings"

PROVIDERS = [
    Provider(
        "managed-azure",
        "https://agentset.openai.azure.com",
        None,
        EmbeddingSettings(azure_resource_name="agentset", azure_api_key=SECRET, embeddings_url="http://unused"),
        lambda request: openai_answer(
            request,
            path=_AZURE_PATH,
            query="api-version=preview",
            auth=("api-key", SECRET),
            model="text-embedding-3-large",
        ),
        2,
    ),
    Provider(
        "azure",
        "https://mine.openai.azure.com",
        _config(
            provider="AZURE_OPENAI",
            model="text-embedding-3-small",
            resourceName="mine",
            deployment="my-deployment",
            apiKey=SECRET,
            apiVersion="2024-10-21",
        ),
        NO_SETTINGS,
        lambda request: openai_answer(
            request, path=_AZURE_PATH, query="api-version=2024-10-21", auth=("api-key", SECRET), model="my-deployment"
        ),
        2,
    ),
    Provider(
        "openai",
        "https://api.openai.com",
        _config(provider="OPENAI", model="text-embedding-3-small", apiKey=SECRET),
        NO_SETTINGS,
        lambda request: openai_answer(
            request,
            path="/v1/embeddings",
            query="",
            auth=("authorization", f"Bearer {SECRET}"),
            model="text-embedding-3-small",
        ),
        2,
    ),
    Provider(
        "voyage",
        "https://api.voyageai.com",
        _config(provider="VOYAGE", model="voyage-3-large", apiKey=SECRET),
        NO_SETTINGS,
        _voyage_answer,
        2,
    ),
    Provider(
        "google",
        "https://generativelanguage.googleapis.com",
        _config(provider="GOOGLE", model="text-embedding-004", apiKey=SECRET),
        NO_SETTINGS,
        _google_answer,
        0,
    ),
    Provider(
        "compatible-without-key",
        "http://embeddings.test:8788",
        None,
        EmbeddingSettings(embeddings_url="http://embeddings.test:8788/v1/", embeddings_model="small"),
        lambda request: openai_answer(
            request, path="/v1/embeddings", query="", auth=("authorization", None), model="small"
        ),
        2,
    ),
    Provider(
        "compatible-with-key",
        "http://embeddings.test:8788",
        None,
        EmbeddingSettings(embeddings_url="http://embeddings.test:8788/v1", embeddings_api_key=SECRET),
        lambda request: openai_answer(
            request, path="/v1/embeddings", query="", auth=("authorization", f"Bearer {SECRET}"), model="default"
        ),
        2,
    ),
]
