"""The alerts' object: takes what a tick has measured, and delivers notices until they have arrived.

Decision and notices commit together; a notice goes only after its delivery, so a crash repeats one, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from durable.alerts.decide import decide
from durable.alerts.message import body_of, headers_of
from durable.alerts.model import AlertsView, Delivery, Observation
from durable.alerts.settings import AlertPolicy, AlertReceiver
from durable.alerts.store import AlertStore
from orchestrator.errors import HttpError
from orchestrator.logs import describe
from orchestrator.ports import Alarm, Clock, Http, Sql
from orchestrator.wakeup import Wakeup

#: A delivery that failed is tried again after this, doubling to the maximum, and given up when the notice is this old.
RETRY_MS: Final = 1_000
RETRY_MAX_MS: Final = 600_000
GIVE_UP_MS: Final = 86_400_000
#: A receiver has this long to answer; then, or when the object died, the delivery is tried again.
TIMEOUT_MS: Final = 10_000
_WATCHDOG_MS: Final = 15_000
#: Notices sent per tick, and shown.
BATCH: Final = 20
SHOWN: Final = 100


class AlertPlatform(Protocol):
    """The ports of the alerts' object."""

    @property
    def clock(self) -> Clock:
        """The wall clock."""
        ...

    @property
    def sql(self) -> Sql:
        """The object's SQLite."""
        ...

    @property
    def alarm(self) -> Alarm:
        """The object's alarm."""
        ...

    @property
    def http(self) -> Http:
        """The way to the receiver."""
        ...

    def log(self, level: str, event: str, fields: Mapping[str, object]) -> None:
        """Write one structured log line."""
        ...


class AlertEngine:
    """The alerts.

    Args:
        platform: the ports.
        policy: reads when they fire.
        receiver: reads who is told.
    """

    def __init__(
        self, platform: AlertPlatform, policy: Callable[[], AlertPolicy], receiver: Callable[[], AlertReceiver]
    ) -> None:
        self._platform = platform
        self._policy = policy
        self._receiver = receiver
        self._store = AlertStore(platform.sql)
        self._wakeup = Wakeup(platform, self._store)
        #: The call that comes every minute begins with this.
        self.look = self._wakeup.look

    def observe(self, observation: Observation) -> None:
        """Take what was measured, and put what people are to be told on its way.

        Raises:
            OrchestratorError: the settings are wrong (code ``invalid_setting``).
        """
        self._store.migrate()
        now_ms = self._platform.clock.now_ms()
        before = self._store.alerts()
        decision = decide(before, observation, self._policy(), now_ms)
        self._store.put(before, decision.alerts)
        self._store.note_look(now_ms, observation.missing)
        silent = self._receiver().silent_because
        for notice in decision.notices:
            fields = {"alert": notice.alert.rule, "subject": notice.alert.subject, "value": notice.alert.value}
            self._platform.log("warning", f"alert.{notice.kind}", fields)
            if silent is None:
                self._store.send(notice)
        self._wakeup.rearm()

    def view(self) -> AlertsView:
        """Return the alerts as operators see them."""
        self._store.migrate()
        look = self._store.last_look()
        waiting = self._store.deliveries(limit=SHOWN, dropped=False)
        return AlertsView(
            evaluated_at_ms=None if look is None else look[0],
            missing=[] if look is None else look[1],
            alerts=self._store.alerts(),
            undelivered=[*waiting, *self._store.deliveries(limit=SHOWN, dropped=True)],
            silent_because=self._receiver().silent_because,
        )

    async def tick(self) -> None:
        """Deliver what is due. Called by the alarm; never raises."""
        self._wakeup.fired()
        if self._wakeup.ticking:
            return
        self._wakeup.ticking = True
        failed = False
        try:
            self._wakeup.watchdog(self._platform.clock.now_ms() + _WATCHDOG_MS)
            await self._deliver()
        except Exception as error:
            failed = True
            self._platform.log("error", "alerts.tick_failed", {"error": describe(error)})
        finally:
            self._wakeup.ticking = False
        self._wakeup.after_tick(failed=failed, idle=False)

    async def _deliver(self) -> None:
        for _ in range(BATCH):
            delivery = self._store.next_delivery(self._platform.clock.now_ms())
            if delivery is None:
                return
            error = await self._post(delivery)
            if error is None:
                self._store.delivered(delivery.notice.id)
            else:
                self._put_off(delivery, error)

    async def _post(self, delivery: Delivery) -> str | None:
        """Send a notice; return why it did not arrive, or None."""
        receiver = self._receiver()
        if receiver.url is None or receiver.secret is None:
            return "not_configured"
        body = body_of(delivery.notice)
        headers = headers_of(delivery.notice, body, receiver.secret, self._platform.clock.now_ms())
        try:
            answer = await self._platform.http.request(
                "POST", receiver.url, headers=headers, body=body, timeout_ms=TIMEOUT_MS, max_body_bytes=64_000
            )
            status = answer.status
        except HttpError as error:
            if error.error_code != "http_body_too_large":
                return error.error_code
            status = int(str(error.details.get("status", 0)))  # an answer that is too long is one
        return None if 200 <= status < 300 else f"http_{status}"

    def _put_off(self, delivery: Delivery, error: str) -> None:
        notice, now_ms = delivery.notice, self._platform.clock.now_ms()
        fields = {"notice": notice.id, "attempt": delivery.attempts + 1, "error": error}
        wait_ms = min(RETRY_MAX_MS, RETRY_MS * 2 ** min(delivery.attempts, 20))
        if now_ms + wait_ms - notice.at_ms > GIVE_UP_MS:
            self._platform.log("error", "alert.given_up", fields)
            self._store.drop(notice.id, now_ms, error)
        else:
            self._platform.log("warning", "alert.not_delivered", fields)
            self._store.postpone(notice.id, now_ms + wait_ms, error)
