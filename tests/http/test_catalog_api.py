"""The catalog over HTTP: what is missing is said, and shards are rebuilt on demand."""

from __future__ import annotations

import pytest

from tests.http.support import Api, problem


def populated(api: Api, jobs: int = 12) -> list[str]:
    ids = [api.start("broken" if number % 2 else "keep") for number in range(jobs)]
    api.run()
    assert len(api.get("/v1/jobs").json()["jobs"]) == jobs
    return ids


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/dead-letters"])
def test_a_silent_shard_fails_a_list_unless_the_caller_takes_what_there_is(api: Api, path: str) -> None:
    populated(api)
    assert api.get(path).json()["incomplete"] == []
    quiet = api.backend.catalog.layout.names()[2]
    api.backend.feeds_catalog = False
    api.backend.catalog.silent = {quiet}
    refused = api.get(path)
    assert problem(refused, 503, "catalog_incomplete")["shards"] == [quiet]
    assert refused.headers["retry-after"] == "2"
    partly = api.get(f"{path}?partial=true").json()
    assert partly["incomplete"] == [quiet]


def test_a_bulk_operation_by_filter_does_nothing_while_a_shard_is_silent(api: Api) -> None:
    populated(api)
    api.backend.feeds_catalog = False
    api.backend.catalog.silent = {api.backend.catalog.layout.names()[0]}
    body = {"action": "retry", "filter": {"workflow": "broken"}}
    problem(api.post("/v1/jobs/bulk", body), 503, "catalog_incomplete")
    problem(api.post("/v1/dead-letters/redrive", {"filter": {}}), 503, "catalog_incomplete")


def test_shards_are_shown_and_rebuilt(api: Api) -> None:
    populated(api)
    shown = api.get("/v1/catalog").json()["shards"]
    assert [shard["name"] for shard in shown] == api.backend.catalog.layout.names()
    assert sum(shard["jobs"] for shard in shown) == 12
    assert all(shard["complete"] for shard in shown)
    answer = api.post("/v1/catalog/rebuild", {"shards": [shown[1]["name"]]})
    assert answer.status_code == 202
    assert [(shard["name"], shard["complete"]) for shard in answer.json()["shards"]] == [(shown[1]["name"], False)]
    assert len(api.request("POST", "/v1/catalog/rebuild").json()["shards"]) == 4
    assert all(shard["complete"] for shard in api.get("/v1/catalog").json()["shards"])
    problem(api.post("/v1/catalog/rebuild", {"shards": ["catalog-4-9"]}), 400, "unknown_shard")
