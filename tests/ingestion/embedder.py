"""An OpenAI-compatible embedding server on loopback whose vectors are a function of the text."""

from __future__ import annotations

import hashlib

import msgspec

from tests.embeddings.stub_server import Received, Reply, json_reply

DIMENSIONS = 8


class _Request(msgspec.Struct):
    model: str
    input: list[str]
    encoding_format: str


def embeddings(request: Received) -> Reply:
    """Answer one call. A text with POISON in it is refused, as a provider's content filter does."""
    assert request.path == "/v1/embeddings"
    texts = msgspec.json.decode(request.body, type=_Request).input
    assert 1 <= len(texts) <= 30
    if any("POISON" in text for text in texts):
        return json_reply({"error": {"message": "The input was refused."}}, 400)
    data = [{"index": index, "embedding": vector(text)} for index, text in enumerate(texts)]
    return json_reply({"data": data, "usage": {"prompt_tokens": sum(map(tokens, texts))}})


def vector(text: str) -> list[float]:
    """Return eight numbers, none of them 0."""
    return [(byte + 1) / 256 for byte in hashlib.sha256(text.encode()).digest()[:DIMENSIONS]]


def tokens(text: str) -> int:
    """Return what the server charges."""
    return len(text.split())
