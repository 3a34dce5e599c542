"""API keys: made, shown once, kept as hashes, found, remembered for a short while, and revoked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from durable.http.keyring import REMEMBERED_MS, STRANGERS
from durable.http.memory import MAX_REMEMBERED, GateMemory, remember
from durable.keys import KEPT_MS, KeyQuery, id_in, new_key
from orchestrator.errors import RetryableError
from tests.http.support import KEY, Api, problem

DAY_MS = 86_400_000


def status(api: Api, key: str) -> int:
    return api.request("GET", "/v1/keys/current", key=key).status_code


def test_a_key_says_what_it_may_do(api: Api) -> None:
    key_id, key = api.make_key("read", "enqueue", workflows=["keep"], tenant="t1")
    assert api.request("GET", "/v1/keys/current", key=key).json() == {
        "id": key_id,
        "scopes": ["enqueue", "read"],
        "workflows": ["keep"],
        "tenant": "t1",
    }
    assert api.get("/v1/keys/current").json()["id"] == "root"


def test_what_opens_a_key_is_shown_once_and_kept_nowhere(api: Api) -> None:
    key_id, key = api.make_key("read")
    assert id_in(key) == key_id
    assert len(key.rpartition("_")[2]) == 43
    secret = key.partition("_")[2].partition("_")[2]
    stored = api.keys.store.get(key_id)
    assert stored is not None
    assert secret not in str(stored)
    assert secret.encode() not in stored.hash
    assert secret not in api.get("/v1/keys").text
    assert secret not in str(api.logs)


@pytest.mark.parametrize("at", [4, 10, 29, 31, 40, -1])
def test_every_character_of_a_key_counts(api: Api, at: int) -> None:
    _, key = api.make_key("read")
    at %= len(key)
    wrong = key[:at] + ("0" if key[at] != "0" else "1") + key[at + 1 :]
    assert status(api, key) == 200
    problem(api.request("GET", "/v1/keys/current", key=wrong), 401, "unauthorized")


@pytest.mark.parametrize(
    "members",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": ["admin"], "tenant": "t1"},
        {"scopes": ["admin", "read"], "workflows": ["keep"]},
        {"scopes": ["read"], "workflows": []},
        {"scopes": ["read"], "tenant": ""},
        {"scopes": ["read"], "expires_in": -1},
        {"scopes": ["read"], "rate_per_s": 0},
        {"scopes": ["read"], "name": ""},
        {"scopes": ["read"], "hash": "x"},
    ],
)
def test_a_key_that_does_not_fit(api: Api, members: dict[str, object]) -> None:
    problem(api.post("/v1/keys", {"name": "n", **members}), 422, "invalid_request")


def test_a_key_for_a_workflow_that_is_not(api: Api) -> None:
    problem(api.post("/v1/keys", {"name": "n", "scopes": ["read"], "workflows": ["nope"]}), 404, "unknown_workflow")


def test_a_key_expires(api: Api) -> None:
    _, key = api.make_key("read", expires_in=60)
    _, for_ever = api.make_key("read", expires_in=0)
    _, usual = api.make_key("read")
    api.world.clock.time_ms += 59_999
    assert status(api, key) == 200
    api.world.clock.time_ms += 1
    problem(api.request("GET", "/v1/keys/current", key=key), 401, "unauthorized")
    api.world.clock.time_ms += 90 * DAY_MS
    assert (status(api, usual), status(api, for_ever)) == (401, 200)


def test_a_revoked_key_is_of_no_use_at_once_here_and_soon_everywhere(api: Api) -> None:
    key_id, key = api.make_key("read")
    elsewhere = Api()
    elsewhere.keys.store = api.keys.store
    assert (status(api, key), status(elsewhere, key)) == (200, 200)
    for _ in range(2):
        assert api.request("DELETE", f"/v1/keys/{key_id}").status_code == 204
    assert (status(api, key), status(elsewhere, key)) == (401, 200)
    elsewhere.world.clock.time_ms += REMEMBERED_MS
    assert status(elsewhere, key) == 401


def test_a_stream_ends_when_its_key_does(api: Api) -> None:
    job_id = api.start("stuck")
    key_id, key = api.make_key("read")
    started_ms = api.world.clock.now_ms()
    api.keys.revoke_after[key_id] = started_ms + 1_000
    answer = api.request("GET", f"/v1/jobs/{job_id}/events", key=key)
    assert "job.created" in answer.text
    assert REMEMBERED_MS <= api.world.clock.now_ms() - started_ms < 2 * REMEMBERED_MS


def test_a_key_is_looked_up_once_for_many_requests(api: Api) -> None:
    _, key = api.make_key("read")
    assert [status(api, key) for _ in range(10)] == [200] * 10
    assert api.keys.asked == 1


def test_a_silent_key_store_lets_in_whom_it_knows_and_nobody_else(api: Api) -> None:
    _, known = api.make_key("read")
    _, new = api.make_key("read")
    assert status(api, known) == 200
    api.keys.failures = [RetryableError("away", code="object_unreachable")]
    problem(api.request("GET", "/v1/keys/current", key=new), 503, "object_unreachable")
    api.keys.failures = [RetryableError("away", code="object_unreachable")]
    assert (status(api, known), status(api, KEY)) == (200, 200)


def test_keys_that_are_made_up_do_not_keep_the_store_busy(api: Api) -> None:
    _, known = api.make_key("read")
    assert status(api, known) == 200
    before = api.keys.asked
    answers = [status(api, new_key(api.world.clock, api.world.entropy)[1]) for _ in range(STRANGERS.capacity + 50)]
    assert set(answers) == {401, 503}
    assert api.keys.asked - before <= STRANGERS.capacity + 1
    api.world.clock.time_ms += REMEMBERED_MS
    assert status(api, known) == 200


def test_no_key_configured_closes_made_keys_too() -> None:
    api = Api()
    _, key = api.make_key("read")
    closed = Api(api_key=None)
    closed.keys.store = api.keys.store
    problem(closed.request("GET", "/v1/keys/current", key=key), 503, "no_api_key_configured")


def test_a_caller_has_a_rate_of_its_own(api: Api) -> None:
    _, slow = api.make_key("read", rate_per_s=2)
    _, other = api.make_key("read")
    answers = [api.request("GET", "/v1/keys/current", key=slow) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    problem(answers[-1], 429, "rate_limited")
    assert answers[-1].headers["retry-after"] == "1"
    assert (status(api, other), status(api, KEY)) == (200, 200)
    api.world.clock.time_ms += 1_000
    assert [status(api, slow) for _ in range(3)] == [200, 200, 429]


def test_keys_in_pages(api: Api) -> None:
    ids: list[str] = []
    for number in range(5):
        ids.append(api.make_key("read", name=f"n{number}")[0])
        api.world.clock.time_ms += 1
    api.request("DELETE", f"/v1/keys/{ids[2]}")
    seen: list[dict[str, object]] = []
    query = ""
    for expected in (2, 2, 1):
        page = api.get(f"/v1/keys?limit=2{query}").json()
        assert len(page["keys"]) == expected
        seen += page["keys"]
        query = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert [key["id"] for key in seen] == ids[::-1]
    assert [key["revoked_at"] is not None for key in seen] == [False, False, True, False, False]
    assert {key["created_by"] for key in seen} == {"root"}
    problem(api.get("/v1/keys?cursor=x"), 400, "invalid_cursor")


def test_revoking_what_is_not(api: Api) -> None:
    problem(api.request("DELETE", "/v1/keys/key_x"), 404, "unknown_key")


def test_old_keys_are_forgotten(api: Api) -> None:
    gone, _ = api.make_key("read", expires_in=60)
    api.world.clock.time_ms += KEPT_MS + 60_001
    kept, _ = api.make_key("read")
    assert [key["id"] for key in api.get("/v1/keys").json()["keys"]] == [kept]
    problem(api.request("DELETE", f"/v1/keys/{gone}"), 404, "unknown_key")


def test_there_are_not_too_many_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durable.keys.MAX_KEYS", 2)
    for _ in range(2):
        api.make_key("read")
    problem(api.post("/v1/keys", {"name": "n", "scopes": ["read"]}), 409, "too_many_keys")


def test_the_gates_memory_is_bounded() -> None:
    memory = GateMemory()
    for number in range(MAX_REMEMBERED + 10):
        remember(memory.levels, f"k{number}", number)
    assert len(memory.levels) == MAX_REMEMBERED
    assert f"k{MAX_REMEMBERED + 9}" in memory.levels


class Keys(RuleBasedStateMachine):
    """Two isolates over one store, against a model that knows which key is of use since when."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Api()
        self.here, self.there = GateMemory(), GateMemory()
        #: By key: its text, when it ends, when it was revoked.
        self.known: dict[str, tuple[str, int | None, int | None]] = {}

    @property
    def now_ms(self) -> int:
        return self.api.world.clock.now_ms()

    def status_in(self, isolate: GateMemory, text: str) -> int:
        self.api.host = replace(self.api.host, memory=isolate)
        found = status(self.api, text)
        self.api.host = replace(self.api.host, memory=self.here)
        return found

    @rule(seconds=st.sampled_from([0, 1, 20, 100]))
    def make(self, seconds: int) -> None:
        key_id, text = self.api.make_key("read", expires_in=seconds)
        self.known[key_id] = (text, self.now_ms + seconds * 1000 if seconds else None, None)

    @rule(pick=st.integers(0, 100))
    def revoke(self, pick: int) -> None:
        if self.known:
            key_id = sorted(self.known)[pick % len(self.known)]
            assert self.api.request("DELETE", f"/v1/keys/{key_id}").status_code == 204
            text, ends_ms, revoked_ms = self.known[key_id]
            self.known[key_id] = (text, ends_ms, self.now_ms if revoked_ms is None else revoked_ms)

    @rule(ms=st.sampled_from([1, 999, 5_000, 29_000, 31_000]))
    def wait(self, ms: int) -> None:
        self.api.world.clock.time_ms += ms

    @invariant()
    def each_key_is_of_use_exactly_as_long_as_it_should(self) -> None:
        for text, ends_ms, revoked_ms in self.known.values():
            expired = ends_ms is not None and self.now_ms >= ends_ms
            here, there = (self.status_in(isolate, text) for isolate in (self.here, self.there))
            assert here == (401 if expired or revoked_ms is not None else 200)
            if expired or (revoked_ms is not None and self.now_ms >= revoked_ms + REMEMBERED_MS):
                assert there == 401
            elif revoked_ms is None:
                assert there == 200

    @invariant()
    def the_list_agrees(self) -> None:
        listed = {record.id: record for record in self.api.keys.store.list(KeyQuery(limit=1_000))}
        assert listed.keys() == self.known.keys()
        for key_id, (_, ends_ms, revoked_ms) in self.known.items():
            assert (listed[key_id].expires_at_ms, listed[key_id].revoked_at_ms) == (ends_ms, revoked_ms)


TestKeys = Keys.TestCase
TestKeys.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
