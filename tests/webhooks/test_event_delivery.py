"""Who is asked to deliver events, when, and how rarely."""

from __future__ import annotations

import asyncio

from durable.event_delivery import MARGIN_MS, MAX_SERVED, SLOT_MS, EventDelivery, delivery_job
from durable.postgres import AsyncpgDatabase
from orchestrator.errors import RetryableError
from orchestrator.model import CreateJob
from orchestrator.testing.faults import VirtualClock
from steps.platform import outbox
from tests.webhooks.stage import ORGANIZATION, Hook, Play, Stage


class Jobs:
    """Records what is created; fails when told to."""

    def __init__(self) -> None:
        self.created: list[CreateJob] = []
        self.fails = False

    async def __call__(self, request: CreateJob) -> None:
        if self.fails:
            raise RetryableError("away", code="object_unreachable")
        self.created.append(request)


class Logged:
    def __init__(self) -> None:
        self.events: list[str] = []

    def __call__(self, level: str, event: str, fields: object) -> None:
        self.events.append(event)


def test_an_organization_is_asked_for_once_per_slot() -> None:
    clock, jobs = VirtualClock(), Jobs()
    clock.time_ms = 10 * SLOT_MS
    delivery = EventDelivery(clock, Logged())

    async def ask(*organization_ids: str) -> None:
        await delivery.soon(organization_ids, jobs)

    asyncio.run(ask("a", "b"))
    clock.time_ms += SLOT_MS - 1
    asyncio.run(ask("a"))
    assert [job.payload for job in jobs.created] == [{"organizationId": "a"}, {"organizationId": "b"}]
    clock.time_ms += 1
    asyncio.run(ask("a"))
    first, _, later = jobs.created
    assert first.job_id != later.job_id


def test_the_job_starts_when_its_slot_is_over_wherever_it_was_asked_for() -> None:
    for offset in (0, 1, SLOT_MS - 1):
        now_ms = 7 * SLOT_MS + offset
        job = delivery_job("a", now_ms)
        assert job.job_id == delivery_job("a", 7 * SLOT_MS).job_id
        assert now_ms + job.options.delay_ms == 8 * SLOT_MS + MARGIN_MS


def test_an_organization_whose_job_could_not_be_made_is_asked_for_again() -> None:
    jobs, logged = Jobs(), Logged()
    delivery = EventDelivery(VirtualClock(), logged)
    jobs.fails = True
    asyncio.run(delivery.soon(["a"], jobs))
    assert logged.events == ["events.postponed"]
    jobs.fails = False
    asyncio.run(delivery.soon(["a"], jobs))
    assert len(jobs.created) == 1


def test_what_is_remembered_is_bounded() -> None:
    clock, jobs = VirtualClock(), Jobs()
    delivery = EventDelivery(clock, Logged())
    for start in range(0, 30_000, 10_000):
        asyncio.run(delivery.soon([f"{number}" for number in range(start, start + 10_000)], jobs))
        clock.time_ms += SLOT_MS
    assert len(jobs.created) == 30_000
    assert len(vars(delivery)["_asked"]) <= 20_000


def test_the_tick_finds_every_organization_that_is_behind(stage: Stage) -> None:
    async def body(play: Play) -> None:
        jobs, logged = Jobs(), Logged()
        for number in range(40):
            await play.announce("document.ready", run_id=f"run_{number}")
        await play.admin.execute(
            "update wf.event_outbox set organization_id = 'org' || (ascii(right(id, 1)) % 7)::text,"
            " created_at = now() - interval '11 seconds'"
        )
        await play.announce("document.queued")
        expected = {str(row[0]) for row in await play.admin.fetch("select distinct organization_id from wf.event_outbox where event = 'document.ready'")}  # fmt: skip  # noqa: E501
        assert len(expected) > 3
        await EventDelivery(VirtualClock(), logged).rest(play.admin, jobs)
        assert {job.payload["organizationId"] for job in jobs.created} == expected  # type: ignore[index]
        assert logged.events == ["events.round"]

    stage.play(body)


def test_a_tick_serves_a_bounded_number_and_others_next_time(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.admin.execute(
            """insert into wf.event_outbox (id, event, subject, organization_id, payload, created_at)
            select 'evt_' || n, 'document.ready', 'd', 'org_' || n, '{}', now() - interval '1 minute'
            from generate_series(1, 600) n"""
        )
        first, second = Jobs(), Jobs()
        delivery = EventDelivery(VirtualClock(), Logged())
        await delivery.rest(play.admin, first)
        await EventDelivery(VirtualClock(), Logged()).rest(play.admin, second)
        assert len(first.created) == len(second.created) == MAX_SERVED
        assert {job.job_id for job in first.created} != {job.job_id for job in second.created}

    stage.play(body)


def test_reading_the_outbox_does_not_cost_what_others_have_in_it(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.admin.execute(
            """insert into wf.event_outbox (id, event, subject, organization_id, payload, created_at)
            select 'evt_' || n, 'document.ready', 'd', 'org_' || (n % 5), '{}', now() - n * interval '1 second'
            from generate_series(1, 20000) n"""
        )
        await play.admin.execute("analyze wf.event_outbox")

        assert [event.id for event in await outbox.pending(play.admin, "org_3", 3)] == [
            f"evt_{number}" for number in (19998, 19993, 19988)
        ]
        assert await outbox.organizations_behind(play.admin, 10, 10) == [f"org_{number}" for number in range(5)]
        plan = await play.admin.fetch(
            "explain select id from wf.event_outbox where organization_id = 'org_3' order by created_at, id limit 50"
        )
        text = "\n".join(str(row[0]) for row in plan)
        assert "event_outbox_organization_id_idx" in text
        assert "Sort" not in text

    stage.play(body)


def test_a_tick_survives_an_outage_of_the_database() -> None:
    logged = Logged()

    async def run() -> None:
        database = AsyncpgDatabase("postgres://nobody@127.0.0.1:1/nothing")
        await EventDelivery(VirtualClock(), logged).rest(database, Jobs())

    asyncio.run(run())
    assert logged.events == ["events.round_failed"]


def test_the_job_that_is_asked_for_delivers(stage: Stage) -> None:
    async def body(play: Play) -> None:
        await play.add_hook(Hook(id="wh_1"))
        event = await play.announce("document.ready")
        request = delivery_job(ORGANIZATION, play.world.clock.now_ms())
        play.world.call(request.job_id, lambda engine: engine.create(request))
        await play.world.run()
        assert stage.receivers.identities() == {(event, "wh_1")}
        assert await play.waiting() == 0

    stage.play(body)
