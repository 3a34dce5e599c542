"""The Redis client against a real server that plays Upstash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from local.http import HttpxHttp
from orchestrator.errors import NonRetryableError, OrchestratorError, RetryableError
from steps.redis import DELETE_KEYS, Redis, RedisSettings, redis_for
from tests.embeddings.stub_server import Reply, StubServer, json_reply
from tests.redis.stub import TOKEN, RedisStub

T = TypeVar("T")


@pytest.fixture
def database() -> RedisStub:
    return RedisStub()


@pytest.fixture
def server(database: RedisStub) -> Iterator[StubServer]:
    with StubServer(database) as running:
        yield running


def using(server: StubServer, body: Callable[[Redis], Awaitable[T]], token: str = TOKEN) -> T:
    async def run() -> T:
        async with HttpxHttp() as http:
            redis = redis_for(RedisSettings(url=server.url + "/", token=token), http)
            assert redis is not None
            return await body(redis)

    return asyncio.run(run())


def failure(server: StubServer, body: Callable[[Redis], Awaitable[object]], token: str = TOKEN) -> OrchestratorError:
    with pytest.raises(OrchestratorError) as caught:
        using(server, body, token)
    return caught.value


def test_strings_are_read_in_one_request(server: StubServer, database: RedisStub) -> None:
    database.strings |= {"a": '["é"]', "b": ""}
    assert using(server, lambda redis: redis.get_many(["a", "missing", "b"])) == ['["é"]', None, ""]
    assert using(server, lambda redis: redis.get("a")) == '["é"]'
    assert [request.path for request in server.received] == ["/pipeline"] * 2


def test_keys_are_removed_in_groups(server: StubServer, database: RedisStub) -> None:
    keys = [f"k{number}" for number in range(2 * DELETE_KEYS + 1)]
    database.strings |= dict.fromkeys(keys[1:], "x")
    assert using(server, lambda redis: redis.delete(keys)) == len(keys) - 1
    assert database.strings == {}
    assert [len(command) - 1 for command in database.commands] == [DELETE_KEYS, DELETE_KEYS, 1]


def test_nothing_makes_no_request(server: StubServer) -> None:
    assert using(server, lambda redis: redis.get_many([])) == []
    assert using(server, lambda redis: redis.delete([])) == 0
    assert server.received == []


def test_commands_run_in_order(server: StubServer, database: RedisStub) -> None:
    commands = [("SET", "k", "1"), ("GET", "k"), ("DEL", "k"), ("GET", "k")]
    assert using(server, lambda redis: redis.pipeline(commands)) == ["OK", "1", 1, None]


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        (json_reply({"error": "slow down"}, 429, retry_after="7"), "redis_rate_limited", True),
        (json_reply({"error": "oops"}, 503), "redis_unavailable", True),
        (Reply(body=b'[{"result":"abc"}]', cut_at=5), "redis_unavailable", True),
        (Reply(body=b'[{"resul'), "redis_unavailable", True),
        (json_reply({"error": "ERR max request size exceeded"}, 400), "redis_refused", False),
        (json_reply([{"error": "ERR max requests limit exceeded. Limit: 1"}]), "redis_rate_limited", True),
        (json_reply([{"error": "LOADING Redis is loading"}]), "redis_rate_limited", True),
        (json_reply([{"result": 5}]), "redis_bad_answer", False),
        (json_reply([]), "redis_bad_answer", False),
        (json_reply({"result": "x"}), "redis_bad_answer", False),
    ],
)
def test_answers_that_are_no_value(server: StubServer, reply: Reply, code: str, retryable: bool) -> None:
    server.faults.append(reply)
    error = failure(server, lambda redis: redis.get("a"))
    assert (error.error_code, isinstance(error, RetryableError)) == (code, retryable)
    if reply.status == 429:
        assert isinstance(error, RetryableError)
        assert error.retry_after_ms == 7_000


def test_a_key_of_another_kind_is_refused(server: StubServer, database: RedisStub) -> None:
    database.lists["list"] = ["x"]
    error = failure(server, lambda redis: redis.get("list"))
    assert (error.error_code, "WRONGTYPE" in str(error)) == ("redis_refused", True)


def test_a_wrong_token_is_refused_and_never_shown(server: StubServer) -> None:
    server.faults.append(json_reply({"error": "WRONGPASS not sk-wrong"}, 401))
    error = failure(server, lambda redis: redis.get("a"), token="sk-wrong")
    assert isinstance(error, NonRetryableError)
    assert (error.error_code, "sk-wrong" in str(error)) == ("redis_refused", False)
    assert failure(server, lambda redis: redis.get("a"), token="sk-wrong").error_code == "redis_refused"


def test_without_settings_there_is_no_redis() -> None:
    for env in ({}, {"REDIS_URL": "https://x"}, {"REDIS_TOKEN": TOKEN}, {"REDIS_URL": "", "REDIS_TOKEN": TOKEN}):
        assert redis_for(RedisSettings.from_env(env), HttpxHttp()) is None
    settings = RedisSettings.from_env({"REDIS_URL": "https://x", "REDIS_TOKEN": TOKEN})
    assert redis_for(settings, HttpxHttp()) is not None
    assert TOKEN not in repr(settings)


def test_keys_are_walked_and_given_an_end(server: StubServer, database: RedisStub) -> None:
    database.strings |= {f"results_{number}": "x" for number in range(5)} | {"webhook:org:1": "x"}
    database.lifetimes["results_4"] = 5

    async def walk(redis: Redis) -> list[str]:
        found: list[str] = []
        cursor: str | None = None
        while True:
            scanned = await redis.scan(cursor, "results_*", 2)
            found += scanned.keys
            cursor = scanned.cursor
            if cursor is None:
                return found

    keys = using(server, walk)
    assert sorted(keys) == [f"results_{number}" for number in range(5)]
    using(server, lambda redis: redis.expire(keys, 60))
    assert database.lifetimes == dict.fromkeys(keys, 60) | {"results_4": 5}
