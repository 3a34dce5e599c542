"""Which alerts fire, held to a model that looks at the whole past."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable.alerts.decide import SHOWN_MS, decide
from durable.alerts.model import Alert, Decision, Notice, Observation, Reading, Rule
from durable.alerts.settings import AlertPolicy, AlertReceiver
from orchestrator.errors import OrchestratorError
from tests.alerts.model import State, Tick, Told, told

MINUTE_MS = 60_000
POLICY = AlertPolicy(queue_depth=10, hold_ms=2 * MINUTE_MS, clear_ms=5 * MINUTE_MS, repeat_ms=30 * MINUTE_MS)
RULES: list[Rule] = ["queue_depth", "error_rate", "stuck_jobs", "dead_letters"]


def observation(values: dict[str, float], *missing: str, rule: Rule = "queue_depth") -> Observation:
    readings = [Reading(rule=rule, subject=subject, value=value) for subject, value in values.items()]
    return Observation(readings=readings, missing=list(missing))


class Watch:
    """Alerts over time."""

    def __init__(self, policy: AlertPolicy = POLICY) -> None:
        self.policy = policy
        self.alerts: list[Alert] = []
        self.notices: list[Notice] = []
        self.now_ms = 10**12

    def see(self, seen: Observation, *, after_ms: int = MINUTE_MS) -> Decision:
        self.now_ms += after_ms
        decision = decide(self.alerts, seen, self.policy, self.now_ms)
        self.alerts = decision.alerts
        self.notices += decision.notices
        return decision

    def kinds(self, subject: str = "q") -> list[str]:
        return [notice.kind for notice in self.notices if notice.alert.subject == subject]


def test_a_queue_that_stays_deep_fires_once_is_told_again_and_is_over_once() -> None:
    watch = Watch()
    for _ in range(70):
        watch.see(observation({"q": 11}))
    assert watch.kinds() == ["firing", "reminder", "reminder"]
    for _ in range(20):
        watch.see(observation({"q": 10}))
    assert watch.kinds() == ["firing", "reminder", "reminder", "resolved"]
    (alert,) = watch.alerts
    assert (alert.status, alert.value, alert.threshold, alert.notices) == ("resolved", 10, 10, 4)
    watch.see(observation({}), after_ms=SHOWN_MS)
    assert watch.alerts == []


def test_a_short_peak_is_told_to_nobody() -> None:
    watch = Watch()
    for _ in range(10):
        watch.see(observation({"q": 50}))
        watch.see(observation({"q": 3}))
    assert watch.notices == []


def test_a_value_that_flickers_is_one_alert() -> None:
    watch = Watch()
    for minute in range(25):
        watch.see(observation({"q": 50 if minute % 4 < 3 else 0}))
    assert watch.kinds() == ["firing"]


@pytest.mark.parametrize("rule", RULES)
def test_the_threshold_itself_is_still_well(rule: Rule) -> None:
    watch = Watch()
    for _ in range(10):
        watch.see(observation({"all": POLICY.threshold(rule)}, rule=rule))
    assert watch.alerts == []
    for _ in range(10):
        watch.see(observation({"all": POLICY.threshold(rule) + 0.01}, rule=rule))
    assert watch.kinds("all") == ["firing"]


def test_what_does_not_answer_ends_no_alert_and_hides_none() -> None:
    watch = Watch()
    for _ in range(3):
        watch.see(observation({"q": 50}))
    for _ in range(20):
        watch.see(observation({}, "catalog"))
        watch.see(observation({"q": 0, "r": 50}, "catalog-4-1"))
    assert (watch.kinds("q"), watch.kinds("r")) == (["firing"], ["firing", "reminder"])
    for _ in range(7):
        watch.see(observation({"r": 50}))
    assert watch.kinds("q") == ["firing", "resolved"]


def test_ids_of_notices_are_never_used_again() -> None:
    watch = Watch(msgspec.structs.replace(POLICY, clear_ms=0, hold_ms=0, repeat_ms=0))
    for minute in range(60):
        watch.see(observation({"q": 50 if minute % 7 else 0}))
    ids = [notice.id for notice in watch.notices]
    assert len(ids) > 50
    assert len(set(ids)) == len(ids)


minutes = st.integers(1, 6)
seen = st.lists(
    st.tuples(minutes, st.sampled_from(["wrong", "well", "absent", "unknown"]), st.sampled_from(["wrong", "well"])),
    max_size=50,
)
policies = st.builds(
    AlertPolicy,
    queue_depth=st.just(10),
    hold_ms=st.integers(0, 4).map(lambda count: count * MINUTE_MS),
    clear_ms=st.integers(0, 4).map(lambda count: count * MINUTE_MS),
    repeat_ms=st.integers(1, 20).map(lambda count: count * MINUTE_MS),
)


@given(seen, policies)
@settings(max_examples=300)
def test_people_are_told_what_the_model_says(ticks: list[tuple[int, str, State]], policy: AlertPolicy) -> None:
    watch = Watch(policy)
    past: dict[str, list[Tick]] = {"q": [], "r": []}
    heard: dict[str, list[Told]] = {"q": [], "r": []}
    for after, first, second in ticks:
        values: dict[str, float] = {"r": 50 if second == "wrong" else 0}
        if first in {"wrong", "well"}:
            values["q"] = 50 if first == "wrong" else 0
        missing = ["catalog-4-0"] if first == "unknown" else []
        decision = watch.see(observation(values, *missing), after_ms=after * MINUTE_MS)
        past["q"].append(Tick(watch.now_ms, "well" if first == "absent" else "wrong" if first == "wrong" else "well"))
        if first == "unknown":
            past["q"][-1] = Tick(watch.now_ms, "unknown")
        past["r"].append(Tick(watch.now_ms, "unknown" if missing and second == "well" else second))
        for notice in decision.notices:
            heard[notice.alert.subject].append(Told(notice.at_ms, notice.kind))
        again = decide(watch.alerts, observation(values, *missing), policy, watch.now_ms)
        assert (again.alerts, again.notices) == (watch.alerts, [])
    for subject in past:
        assert heard[subject] == told(past[subject], policy, policy.hold_ms)


def test_settings_are_read_and_the_plans_are_the_defaults() -> None:
    assert AlertPolicy.from_env({}) == AlertPolicy()
    assert (AlertPolicy().queue_depth, AlertPolicy().error_rate) == (1_000, 0.05)
    policy = AlertPolicy.from_env(
        {
            "ALERT_QUEUE_DEPTH": "50",
            "ALERT_ERROR_RATE": "0.2",
            "ALERT_REPEAT_MINUTES": "1.5",
            "ALERT_CLEAR_MINUTES": "0",
        }
    )
    assert (policy.queue_depth, policy.error_rate, policy.repeat_ms, policy.clear_ms) == (50, 0.2, 90_000, 0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ALERT_QUEUE_DEPTH", "many"),
        ("ALERT_QUEUE_DEPTH", "-1"),
        ("ALERT_QUEUE_DEPTH", "nan"),
        ("ALERT_ERROR_RATE", "5"),
        ("ALERT_ERROR_WINDOW_MINUTES", "181"),
        ("ALERT_REPEAT_MINUTES", "inf"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(name: str, text: str) -> None:
    with pytest.raises(OrchestratorError, match=name) as caught:
        AlertPolicy.from_env({name: text})
    assert caught.value.error_code == "invalid_setting"


def test_a_receiver_without_a_secret_is_told_nothing_and_shows_nothing() -> None:
    receiver = AlertReceiver.from_env({"ALERT_WEBHOOK_URL": "https://example.com/hidden", "ALERT_WEBHOOK_SECRET": ""})
    assert receiver.silent_because == "ALERT_WEBHOOK_SECRET is not set"
    assert "hidden" not in repr(receiver)
    assert AlertReceiver().silent_because == "ALERT_WEBHOOK_URL is not set"
