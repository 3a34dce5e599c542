"""The local embedding server: an OpenAI-compatible endpoint over a small model that ships in a PyPI wheel.

``python -m local.embeddings --port 8788`` serves ``POST /v1/embeddings`` and ``GET /healthz``, prints one line when it
is ready, and ends with the process that started it. The model is WordLlama's table of 32,000 token vectors, averaged
(docs/decisions/0003-local-embedding-model.md). Nothing is ever downloaded.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
import numpy
import uvicorn
from anyio import CapacityLimiter, to_thread
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MODEL_NAME = "wordllama-l2-supercat-256"
DIMENSIONS = 256
#: OpenAI's limit on the inputs of one request.
MAX_INPUTS = 2_048
MAX_BODY_BYTES = 32_000_000
#: 32-bit floats have no more digits than these; printing only them halves the answer.
_DECIMALS = 7
#: Idle connections are kept this long, so that a client working through a document opens one.
_KEEP_ALIVE_S = 75
_PARENT_POLL_S = 0.5

Matrix = NDArray[numpy.float32]


class EmbeddingsRequest(msgspec.Struct, frozen=True):
    """The body of ``POST /v1/embeddings``. Any ``model`` is accepted: there is one, and the answer names it."""

    input: str | list[str]
    model: str = MODEL_NAME
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Literal[256] | None = None


class Model:
    """WordLlama's packaged table. Loading takes 0.3 s and 90 MB; about 2,400 texts of 2,000 characters a second.

    The package's two files are read directly: its own loader looks for the tokenizer in a folder that the wheel does
    not have, and then tries to download it.
    """

    def __init__(self) -> None:
        # Read by the tokenizer's native code when it is loaded: one core is what this server may use.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]  # its PathLike is bare
        from tokenizers import Tokenizer

        spec = find_spec("wordllama")
        if spec is None or spec.origin is None:
            raise SystemExit("the local embedding model is missing: install the package wordllama")
        package = Path(spec.origin).parent
        weights = load_file(package / "weights" / "l2_supercat_256.safetensors")
        self._table: Matrix = weights["embedding.weight"].astype(numpy.float32)
        self._tokenizer = Tokenizer.from_file(str(package / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, texts: Sequence[str]) -> tuple[Matrix, int]:
        """Return one unit vector per text, in order, and the number of tokens read."""
        vectors: Matrix = numpy.zeros((len(texts), DIMENSIONS), dtype=numpy.float32)
        tokens = 0
        for row, encoding in enumerate(self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)):
            ids = encoding.ids
            tokens += len(ids)
            if ids:
                mean = self._table[ids].mean(axis=0)
                vectors[row] = mean / numpy.linalg.norm(mean)
            else:
                vectors[row, 0] = 1.0  # no token, no direction: any fixed unit vector is better than NaN
        return vectors, tokens


def application(model: Model) -> Starlette:
    """Return the HTTP application around a loaded model."""
    one_at_a_time = CapacityLimiter(1)

    async def embeddings(request: Request) -> Response:
        body = await _read(request)
        if body is None:
            return _refusal(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
        try:
            wanted = msgspec.json.decode(body, type=EmbeddingsRequest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _refusal(400, str(error))
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        if not texts or len(texts) > MAX_INPUTS or "" in texts:
            return _refusal(400, f"input must be 1 to {MAX_INPUTS} texts, none of them empty")
        answer = await to_thread.run_sync(_answer, model, texts, wanted.encoding_format, limiter=one_at_a_time)
        return Response(answer, media_type="application/json")

    async def healthz(_: Request) -> Response:
        return _json(200, {"status": "ok", "model": MODEL_NAME, "dimensions": DIMENSIONS})

    return Starlette(
        routes=[Route("/v1/embeddings", embeddings, methods=["POST"]), Route("/healthz", healthz, methods=["GET"])]
    )


def _answer(model: Model, texts: list[str], encoding_format: str) -> bytes:
    vectors, tokens = model.embed(texts)
    embeddings: list[str] | list[list[float]]
    if encoding_format == "base64":
        embeddings = [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]
    else:
        embeddings = numpy.round(vectors.astype(numpy.float64), _DECIMALS).tolist()
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(embeddings)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": MODEL_NAME, "usage": usage})


async def _read(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def _refusal(status: int, message: str) -> Response:
    """Return an error in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json(status, {"error": error})


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        print(f"embeddings ready http://{host}:{port}/v1 model={MODEL_NAME}", flush=True)


async def _serve(server: _Server, listener: socket.socket, parent_pid: int) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not serving.done():
        if os.getppid() != parent_pid:
            server.should_exit = True
        await asyncio.wait([serving], timeout=_PARENT_POLL_S)
    serving.result()


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until interrupted, or until the parent process is gone."""
    parser = argparse.ArgumentParser(prog="python -m local.embeddings", description="Local embedding server")
    parser.add_argument("--port", type=int, required=True, help="0 picks a free one, which the ready line names")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--parent-pid", type=int, default=os.getppid(), help="end when this is not the parent any more")
    arguments = parser.parse_args(argv)
    listener = socket.create_server((arguments.host, arguments.port), backlog=128)
    # Accepted sockets inherit it; without it every answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        application(Model()), log_level="warning", lifespan="off", timeout_keep_alive=_KEEP_ALIVE_S, access_log=False
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(_Server(config), listener, arguments.parent_pid))


if __name__ == "__main__":
    main()
