"""Batches in Redis that nobody knows have an end (W-09)."""

from __future__ import annotations

from collections import deque

import msgspec

from orchestrator.lifecycle import JobStatus
from steps.expire_batches import LIFETIME_S
from steps.redis import RedisSettings
from tests.embeddings.stub_server import Reply
from tests.platform import scene
from tests.platform.stage import REDIS_ORIGIN, Play, Stage

LEFT = {key for key in scene.REDIS if key.startswith("results_")}


def test_batches_get_an_end_and_nothing_else_does(stage: Stage) -> None:
    outcome = stage.run("expire-parser-batches", {})
    assert outcome.view.result == {"batches": 3}
    assert outcome.picture.redis == {key: LIFETIME_S if key in LEFT else None for key in scene.REDIS}


def test_an_end_that_is_near_is_not_put_off(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        play.redis.lifetimes |= dict.fromkeys(sorted(LEFT)[:2], 60)

    outcome = stage.run("expire-parser-batches", {}, prepare=prepare)
    assert outcome.view.result == {"batches": 3}
    assert sorted(filter(None, outcome.picture.redis.values())) == [60, 60, LIFETIME_S]


def test_any_number_of_keys_is_walked(stage: Stage) -> None:
    keys = [f"results_{number:05}_0" for number in range(3_000)]

    async def prepare(play: Play) -> None:
        play.redis.strings |= dict.fromkeys(keys, "[]") | {f"other_{number}": "1" for number in range(2_000)}

    outcome = stage.run("expire-parser-batches", {}, prepare=prepare)
    assert outcome.view.result == {"batches": 3_003}
    assert all(outcome.picture.redis[key] == LIFETIME_S for key in keys)


def test_redis_that_is_down_is_waited_for(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        play.http.faults[REDIS_ORIGIN] = deque([Reply(503), Reply(hang=True), Reply(200, b"[{")])

    outcome = stage.run("expire-parser-batches", {}, prepare=prepare)
    assert outcome.view.result == {"batches": 3}


def test_without_redis_there_is_nothing_to_do(stage: Stage) -> None:
    async def prepare(play: Play) -> None:
        play.settings = msgspec.structs.replace(play.settings, redis=RedisSettings())
        play.world.services = play.services()

    outcome = stage.run("expire-parser-batches", {}, prepare=prepare)
    assert (outcome.view.status, outcome.view.result) == (JobStatus.COMPLETED, {"batches": 0})
