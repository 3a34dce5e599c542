"""The schedule of a lane, judged by an independent model; and its speed."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import KeyLimit, LanePolicy, Rate
from orchestrator.errors import DefinitionError
from orchestrator.lane_schedule import LaneState, Permit, schedule, why
from tests.lanes.model import Model

START_MS = 1_700_000_000_000
KINDS = ("org", "ns", "tenant")
rates = st.builds(
    Rate, count=st.integers(1, 7), per_ms=st.sampled_from([1, 7, 100, 1_000]), burst=st.none() | st.integers(1, 4)
)
limits = st.none() | st.integers(1, 4)


def key_limits(kinds: list[str]) -> st.SearchStrategy[tuple[KeyLimit, ...]]:
    return st.tuples(*(st.builds(KeyLimit, st.just(kind), limits, st.none() | rates) for kind in kinds))


policies = st.builds(
    LanePolicy,
    name=st.just("model"),
    concurrency=st.sampled_from([1, 2, 3, 5, None]),
    keys=st.sampled_from([["org"], ["org", "ns"], ["ns", "org", "tenant"], []]).flatmap(key_limits),
    rate=st.sampled_from([None, None, Rate(count=3, per_ms=100, burst=1), Rate(count=7), Rate(count=2, per_ms=7)]),
    fair=st.sampled_from([True, True, False]),
    aging_ms=st.sampled_from([1_000, 10, 0]),
)
keys = st.fixed_dictionaries(
    {"org": st.sampled_from("abc")}, optional={kind: st.sampled_from("xy") for kind in KINDS[1:]}
)
asks = st.tuples(st.just("ask"), keys, st.integers(0, 3), st.integers(0, 500))
removals = st.tuples(st.just("remove"), st.integers(0, 1_000))
waits = st.tuples(st.just("wait"), st.sampled_from([1, 13, 143, 1_000]))
#: A busy lane: jobs come in bursts, and go one by one.
bursts = st.lists(asks, min_size=3, max_size=12)
drains = st.lists(removals | waits, min_size=2, max_size=10)
holds = st.just([("hold",)])
actions = st.lists(bursts | drains | holds, min_size=6, max_size=12).map(
    lambda parts: [item for part in parts for item in part]
)


@settings(max_examples=300, deadline=None)
@given(policies, actions)
def test_the_schedule_does_what_the_model_does(policy: LanePolicy, todo: list[tuple[object, ...]]) -> None:
    state, model = LaneState(policy), Model(policy)
    now_ms, seq = START_MS, 0
    known: list[str] = []
    for action in todo:
        if action[0] == "ask":
            seq += 1
            for lane in (state.add, model.ask):
                lane(permit(seq, now_ms - int(str(action[3])), dict(action[1]), int(str(action[2]))))  # type: ignore[call-overload]
            known.append(str(seq))
        elif action[0] == "remove" and known:
            gone = known.pop(int(str(action[1])) % len(known))
            assert state.remove(gone)
            model.remove(gone)
        elif action[0] == "wait":
            now_ms += int(str(action[1]))
        elif action[0] == "hold":
            state.paused = True
            assert schedule(now_ms, state).grants == ()
            state.paused = False
        decision = schedule(now_ms, state)
        assert list(decision.grants) == model.grants(now_ms)
        for granted in decision.grants:
            state.grant(granted, now_ms, now_ms)
        assert state.running == len(model.running)
        after = schedule(now_ms, state)
        assert after.grants == ()
        assert after.next_due_ms == model.next_due_ms(now_ms)


def permit(seq: int, since_ms: int, keys: dict[str, str] | None = None, priority: int = 0) -> Permit:
    return Permit(id=str(seq), job_id=f"run_{seq}", keys=keys or {}, priority=priority, since_ms=since_ms, seq=seq)


def lane(policy: LanePolicy, *permits: Permit) -> LaneState:
    state = LaneState(policy)
    for item in permits:
        state.add(item)
    return state


def run_all(state: LaneState, now_ms: int = START_MS) -> list[str]:
    """Let one job at a time run to its end; return the order."""
    order: list[str] = []
    while grants := schedule(now_ms, state).grants:
        order += grants
        for item in grants:
            state.grant(item, now_ms, now_ms)
            state.remove(item)
    return order


def test_keys_take_turns() -> None:
    policy = LanePolicy(name="turns", concurrency=1, keys=(KeyLimit("org"),))
    many = [permit(n, START_MS, {"org": "many"}) for n in range(1, 5)]
    few = [permit(n, START_MS, {"org": "few"}) for n in range(5, 7)]
    assert run_all(lane(policy, *many, *few)) == ["1", "5", "2", "6", "3", "4"]


def test_priority_is_a_head_start_that_waiting_makes_up_for() -> None:
    policy = LanePolicy(name="aging", concurrency=1)
    old, fresh = permit(1, START_MS - 9_000), permit(2, START_MS, priority=10)
    older = permit(3, START_MS - 11_000)
    assert run_all(lane(policy, old, fresh, older)) == ["3", "2", "1"]


def test_a_full_key_does_not_keep_others_waiting() -> None:
    policy = LanePolicy(name="keys", concurrency=3, keys=(KeyLimit("org", 1), KeyLimit("ns", 1)))
    state = lane(
        policy,
        permit(1, START_MS, {"org": "a", "ns": "x"}),
        permit(2, START_MS, {"org": "a", "ns": "y"}),
        permit(3, START_MS, {"org": "b", "ns": "x"}),
        permit(4, START_MS, {"org": "c", "ns": "z"}),
    )
    for granted in schedule(START_MS, state).grants:
        state.grant(granted, START_MS, START_MS)
    assert [item.id for item in state.permits.values() if item.granted_at_ms] == ["1", "4"]
    assert why(START_MS, state, state.permits["2"]).reason == "key org=a: 1 of 1"
    assert why(START_MS, state, state.permits["3"]).reason == "key ns=x: 1 of 1"
    assert schedule(START_MS, state).next_due_ms is None


def test_the_earliest_token_counts() -> None:
    state = lane(LanePolicy(name="x", keys=(KeyLimit("ns", rate=Rate(count=1)),), fair=False))
    for seq, (ns, at_ms) in enumerate([("late", START_MS + 500), ("early", START_MS)], start=1):
        state.add(permit(seq, START_MS, {"ns": ns}))
        state.grant(str(seq), at_ms, at_ms)
        state.add(permit(seq + 10, START_MS, {"ns": ns}))
    assert schedule(START_MS + 600, state).next_due_ms == START_MS + 1_000


def test_reasons_name_what_is_missing() -> None:
    state = lane(LanePolicy(name="ingest", concurrency=1), permit(1, START_MS), permit(2, START_MS))
    state.grant("1", START_MS, START_MS)
    assert schedule(START_MS, state).reasons == ("lane ingest: 1 of 1 running",)
    state.paused = True
    assert why(START_MS, state, state.permits["2"]).reason == "lane paused"
    slow = lane(LanePolicy(name="slow", rate=Rate(count=1, per_ms=1_200)), permit(1, START_MS), permit(2, START_MS))
    slow.grant("1", START_MS, START_MS)
    obstacle = why(START_MS, slow, slow.permits["2"])
    assert (obstacle.reason, obstacle.due_at_ms) == ("rate of the lane, 1 per 1.2 s: next in 1.2 s", START_MS + 1_200)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(count=0),
        lambda: LanePolicy(name="x", concurrency=0),
        lambda: KeyLimit("org", 0),
        lambda: LanePolicy(name="x", keys=(KeyLimit("a"), KeyLimit("a"))),
    ],
)
def test_impossible_limits_are_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(DefinitionError):
        make()


@pytest.mark.parametrize("orgs", [1, 200, 10_000])
def test_an_admission_costs_about_the_same_however_many_wait(orgs: int) -> None:
    """Counted in function calls, which no other process disturbs."""
    few, many = (calls_per_admission(waiting=waiting, orgs=orgs) for waiting in (200, 10_000))
    assert many < 2 * few
    assert many < 300


def calls_per_admission(*, waiting: int, orgs: int) -> float:
    policy = LanePolicy(name="busy", concurrency=90, keys=(KeyLimit("org", 90 if orgs == 1 else 3),))
    state = lane(policy, *(permit(n, START_MS + n, {"org": str(n % orgs)}) for n in range(waiting)))
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    running = [state.grant(granted, START_MS, START_MS).id for granted in schedule(START_MS, state).grants]
    sys.setprofile(count)
    try:
        for _ in range(100):
            state.remove(running.pop(0))
            running += [state.grant(granted, START_MS, START_MS).id for granted in schedule(START_MS, state).grants]
    finally:
        sys.setprofile(None)
    return calls / 100
