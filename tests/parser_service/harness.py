"""Runs ingestion with the parser service: real servers on loopback, and callbacks over HTTP into the test world."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import mimetypes
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import LiteralString
from urllib.parse import parse_qs, quote, unquote, urlencode

import msgspec

from orchestrator.errors import RequestError
from orchestrator.ports import Database
from orchestrator.testing import World
from orchestrator.testing.blobs import MemoryBlobs
from steps.parser_service.config import ParserServiceSettings
from steps.presigned import S3Settings
from steps.redis import RedisSettings
from steps.services import Settings
from tests.embeddings.stub_server import Received, Reply, StubServer, json_reply
from tests.ingestion.harness import Stage
from tests.parser_service.stub import API_KEY, Call, ParserStub
from tests.redis.stub import TOKEN, RedisStub

BUCKET, ACCESS_KEY, SECRET_KEY = "agentset", "s3-access", "s3-Stub-Secret-0123456789"


class Told(msgspec.Struct, frozen=True):
    """A callback and how it was answered."""

    call_id: str
    at_ms: int
    status: int
    body: object


class ParserWorld:
    """The parser service, Redis and S3 around the world of one run.

    Args:
        stage: whose runs use them.
    """

    def __init__(self, stage: Stage) -> None:
        self._servers = ExitStack()
        self.redis = RedisStub()
        self.redis_server = self._servers.enter_context(StubServer(self.redis))
        self.parser = ParserStub(self.redis.strings, self.put)
        self.parser_server = self._servers.enter_context(StubServer(self.parser))
        self.s3_server = self._servers.enter_context(StubServer(self._s3))
        self._callbacks = self._servers.enter_context(StubServer(self._complete))
        self.parser.accepted = self._accept
        #: When after its acceptance a call's callback comes, in ms: never, once, or several times.
        self.callbacks: Callable[[Call], list[int]] = lambda call: [1_000]
        self.told: list[Told] = []
        #: Called between ticks.
        self.between: Callable[[], None] = lambda: None
        #: SQL that runs right before a callback.
        self.before_callback: LiteralString | None = None
        self._accepted: list[Call] = []
        self._blobs = MemoryBlobs()
        self._world: World | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        stage.drive = self.drive
        stage.configure = self.configure

    def close(self) -> None:
        self._servers.close()

    def reset(self) -> None:
        """Forget what earlier runs left."""
        self.redis.strings.clear()
        self.redis.commands.clear()
        self.parser.calls.clear()
        self.told.clear()
        self._accepted.clear()
        for server in (self.redis_server, self.parser_server, self.s3_server):
            server.received.clear()

    def configure(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(
            settings,
            parser_service=ParserServiceSettings(url=self.parser_server.url, key=API_KEY),
            redis=RedisSettings(url=self.redis_server.url, token=TOKEN),
            s3=S3Settings(endpoint=self.s3_server.url, access_key=ACCESS_KEY, secret_key=SECRET_KEY, bucket=BUCKET),
        )

    async def drive(self, world: World, admin: Database, blobs: MemoryBlobs) -> None:
        """Run the world to its end, delivering callbacks when they are due in its time."""
        self._world, self._blobs, self._loop = world, blobs, asyncio.get_running_loop()
        pending: list[tuple[int, int, Call]] = []
        for _ in range(100_000):
            self.between()
            now_ms = world.clock.now_ms()
            for call in self._accepted:
                delays_ms = enumerate(self.callbacks(call))
                pending += [(now_ms + delay_ms, len(self.told) + at, call) for at, delay_ms in delays_ms]
            self._accepted.clear()
            pending.sort(key=lambda item: item[:2])
            if not pending:
                if await world.step() or self._accepted:
                    continue
                world.check()
                return
            if not await world.step(until_ms=pending[0][0]):
                if self.before_callback is not None:
                    await admin.execute(self.before_callback)
                await self._tell(pending.pop(0)[2])
        raise AssertionError("still busy")

    def _accept(self, call: Call) -> None:
        self._accepted.append(call)

    def when_accepted(self, action: Callable[[World], None]) -> None:
        """Do something once, between two ticks, after the service has accepted a call."""

        def between() -> None:
            if self.parser.calls and self._world is not None:
                self.between = lambda: None
                action(self._world)

        self.between = between

    @property
    def now_ms(self) -> int:
        """The time in the world of the run."""
        return self.world.clock.now_ms()

    @property
    def world(self) -> World:
        """The world of the run."""
        assert self._world is not None
        return self._world

    def put(self, key: str, data: bytes) -> None:
        """Store an object in the main bucket of the run."""
        asyncio.run(self._blobs.put(key, data))

    def remove(self, key: str) -> None:
        """Remove an object of the main bucket of the run."""
        asyncio.run(self._blobs.delete(key))

    def put_json(self, key: str, value: object) -> None:
        """Store an object of JSON."""
        self.put(key, msgspec.json.encode(value))

    # -- the callback ------------------------------------------------------------------------------------------------

    async def _tell(self, call: Call) -> None:
        assert self._world is not None
        for key, data in self.parser.late.get(call.call_id, {}).items():
            await self._blobs.put(key, data)
        url = f"{self._callbacks.url}/api/v1/waitpoints/tokens/{call.token_id}/complete"
        status, body = await asyncio.to_thread(_post, url, call.access_token, {"data": call.data})
        self.told.append(Told(call.call_id, self._world.clock.now_ms(), status, body))
        if not 200 <= status < 300:
            # The service tells that it has failed, and gives the call up when it cannot tell that either.
            trouble = {"data": {"status": 500, "message": "the callback was refused"}}
            status, _ = await asyncio.to_thread(_post, url, call.access_token, trouble)
            call.aborted = not 200 <= status < 300

    def _complete(self, request: Received) -> Reply:
        """Play the platform's route; the world is touched in its own thread only."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._complete_in_world(request), self._loop).result(timeout=30)

    async def _complete_in_world(self, request: Received) -> Reply:
        assert self._world is not None
        token_id = request.path.split("/")[-2]
        data = msgspec.json.decode(request.body, type=dict[str, object])["data"]
        try:
            bearer = request.headers["authorization"].removeprefix("Bearer ")
            address = self._world.signer.check(token_id, bearer)
            self._world.call(address.job_id, lambda engine: engine.complete_token(address.key, data))
        except RequestError as error:
            return json_reply({"code": error.error_code}, error.status)
        return json_reply({"success": True})

    # -- S3 ----------------------------------------------------------------------------------------------------------

    def _s3(self, request: Received) -> Reply:
        """Serve an object to who has a valid signature, made again here from the request as it arrived."""
        query = {name: values[0] for name, values in parse_qs(request.query, strict_parsing=True).items()}
        given = query.pop("X-Amz-Signature", "")
        names = ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders"]
        if sorted(query) != [f"X-Amz-{name}" for name in names] or query["X-Amz-SignedHeaders"] != "host":
            return Reply(400, b"AuthorizationQueryParametersError")
        access_key, day, region, service, last = query["X-Amz-Credential"].split("/")
        canonical = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        lines = ["GET", request.path, canonical, f"host:{request.headers['host']}", "", "host", "UNSIGNED-PAYLOAD"]
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        scope = "/".join((day, region, service, last))
        key = f"AWS4{SECRET_KEY}".encode()
        for part in (day, region, service, last):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = "\n".join((query["X-Amz-Algorithm"], query["X-Amz-Date"], scope, digest))
        expected = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
        if (access_key, service, last) != (ACCESS_KEY, "s3", "aws4_request") or given != expected:
            return Reply(403, b"SignatureDoesNotMatch")
        bucket, _, object_key = unquote(request.path.removeprefix("/")).partition("/")
        data = asyncio.run(self._blobs.get(object_key)) if bucket == BUCKET else None
        if data is None:
            return Reply(404, b"NoSuchKey")
        return Reply(200, data, {"content-type": mimetypes.guess_type(object_key)[0] or "application/octet-stream"})


@contextmanager
def parser_world(stage: Stage) -> Generator[ParserWorld]:
    """Give the stage a parser service."""
    found = ParserWorld(stage)
    try:
        yield found
    finally:
        found.close()


def _post(url: str, bearer: str, body: object) -> tuple[int, object]:
    headers = {"authorization": f"Bearer {bearer}", "content-type": "application/json"}
    request = urllib.request.Request(url, msgspec.json.encode(body), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())
