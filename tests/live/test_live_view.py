"""What watchers are sent: everything, once, in order, and nothing is done while nobody watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from durable.keys import KeyRecord
from durable.live_view import MAX_WATCHERS, NORMAL, PAGE, POLICY, TRY_AGAIN_LATER, LiveView
from durable.watch_rights import JUST_LET_IN_MS, WatchRight, WatchRights
from orchestrator.errors import RetryableError
from orchestrator.model import Event

FOREVER = WatchRight("root", 0)


class FakeSocket:
    def __init__(self, after: int = 0, right: WatchRight = FOREVER) -> None:
        self.after = after
        self.right = right
        self.seen: list[int] = []
        self.goodbye: tuple[int, str] | None = None
        self.is_broken = False

    def send(self, texts: Sequence[str], after: int) -> None:
        if not self.is_broken:
            self.seen += [json.loads(text)["id"] for text in texts]
            self.after = after

    def renew(self, right: WatchRight) -> None:
        self.right = right

    def close(self, code: int, reason: str) -> None:
        self.goodbye = self.goodbye or (code, reason)


class Watched:
    """A job with a history and watchers."""

    def __init__(self) -> None:
        self.sockets: list[FakeSocket] = []
        self.looks = self.reads = self.last = 0
        self.over: str | None = None
        self.now_ms = 1_000
        self.keys: dict[str, KeyRecord] = {}
        self.lookups: list[str] = []
        self.is_silent = False
        self.boot()

    def boot(self) -> None:
        """Come into memory: nothing is known but what the platform keeps."""
        self.rights = WatchRights(lambda: self.now_ms, self.look_up)
        self.view = LiveView(self, self.read, lambda: self.over, self.rights)

    async def look_up(self, key_id: str) -> KeyRecord | None:
        self.lookups.append(key_id)
        await asyncio.sleep(0)
        if self.is_silent:
            raise RetryableError("no answer", code="object_unreachable")
        return self.keys.get(key_id)

    def key(self, key_id: str, *, expires_at_ms: int | None = None, revoked_at_ms: int | None = None) -> None:
        self.keys[key_id] = KeyRecord(
            id=key_id,
            hash=b"",
            name="",
            scopes=("read",),
            created_at_ms=0,
            created_by="root",
            expires_at_ms=expires_at_ms,
            revoked_at_ms=revoked_at_ms,
        )

    def open(self) -> list[FakeSocket]:
        self.looks += 1
        return [socket for socket in self.sockets if socket.goodbye is None]

    def read(self, after: int, limit: int) -> list[Event]:
        self.reads += 1
        return [Event(seq, 1_000, "step.completed") for seq in range(after + 1, min(self.last, after + limit) + 1)]

    def join(self, after: int = 0, *, key_id: str = "root") -> FakeSocket:
        socket = FakeSocket(after, self.rights.let_in(key_id))
        self.sockets.append(socket)
        self.view.joined()
        return socket

    async def happen(self, events: int = 1) -> None:
        for _ in range(events):
            self.last += 1
            self.view.poke()
        for _ in range(8):  # until a lookup has been answered, too
            await asyncio.sleep(0)


steps = st.lists(st.one_of(st.integers(1, 5), st.sampled_from(["join", "leave", "hibernate", "back"])), max_size=30)


@given(steps)
@settings(max_examples=100)
def test_every_watcher_gets_everything_once_in_order(plan: list[int | str]) -> None:
    async def scenario() -> None:
        watched, gone = Watched(), list[FakeSocket]()
        for step in plan:
            if isinstance(step, int):
                await watched.happen(step)
            elif step == "join":
                watched.join()
            elif step == "leave" and watched.sockets:
                gone.append(watched.sockets.pop())
            elif step == "hibernate":
                watched.boot()
            elif step == "back" and gone:
                before = gone.pop()
                after = watched.join(before.after)
                assert before.seen + after.seen == list(range(1, watched.last + 1))
                after.seen = before.seen + after.seen
        watched.view.push()
        for socket in watched.sockets:
            assert socket.seen == list(range(1, watched.last + 1))

    asyncio.run(scenario())


def test_a_long_history_is_read_in_pages_and_once_for_all() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.last = 3 * PAGE + 7
        watched.sockets += [FakeSocket(), FakeSocket(), FakeSocket(PAGE)]
        watched.view.push()
        assert [len(socket.seen) for socket in watched.sockets] == [watched.last, watched.last, watched.last - PAGE]
        assert watched.reads == 5

    asyncio.run(scenario())


def test_an_ended_job_lets_its_watchers_go_after_the_last_event() -> None:
    async def scenario() -> None:
        watched = Watched()
        socket = watched.join()
        watched.over = "the job has ended"
        await watched.happen(2)
        assert (socket.seen, socket.goodbye) == ([1, 2], (NORMAL, "the job has ended"))
        late = watched.join(after=2)
        assert (late.seen, late.goodbye) == ([], (NORMAL, "the job has ended"))

    asyncio.run(scenario())


def test_a_broken_socket_leaves_the_others() -> None:
    async def scenario() -> None:
        watched = Watched()
        broken, whole = watched.join(), watched.join()
        broken.is_broken = True
        await watched.happen(3)
        assert (broken.seen, whole.seen) == ([], [1, 2, 3])

    asyncio.run(scenario())


def test_while_nobody_watches_one_look_is_all_it_costs() -> None:
    async def scenario() -> None:
        watched = Watched()
        for _ in range(50):
            await watched.happen(20)
        assert (watched.looks, watched.reads) == (1, 0)

    asyncio.run(scenario())


def test_many_events_of_one_moment_are_one_push() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.join()
        before = watched.reads
        await watched.happen(100)
        assert watched.reads - before == 2  # what is new, and that nothing follows

    asyncio.run(scenario())


def test_there_is_room_for_so_many() -> None:
    watched = Watched()
    watched.sockets = [FakeSocket() for _ in range(MAX_WATCHERS - 1)]
    assert watched.view.has_room()
    watched.sockets.append(FakeSocket())
    assert not watched.view.has_room()


def test_a_key_is_looked_up_again_when_there_is_something_to_send_and_not_before() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.key("key_a")
        socket, other = watched.join(key_id="key_a"), watched.join(key_id="key_a")
        await watched.happen()
        assert (socket.seen, watched.lookups) == ([1], [])
        watched.now_ms += JUST_LET_IN_MS
        watched.join()  # is nothing to those who have seen everything
        assert watched.lookups == []
        await watched.happen()
        watched.now_ms += 29_999
        await watched.happen()
        assert (socket.seen, other.seen, watched.lookups) == ([1, 2, 3], [1, 2, 3], ["key_a"])
        watched.now_ms += 1
        watched.boot()  # what is known is kept with the sockets
        await watched.happen()
        assert (socket.seen, other.seen, watched.lookups) == ([1, 2, 3, 4], [1, 2, 3, 4], ["key_a", "key_a"])

    asyncio.run(scenario())


def test_a_watcher_whose_key_was_revoked_or_has_expired_gets_nothing_more() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.key("revoked", revoked_at_ms=1_500)
        watched.key("expired", expires_at_ms=2_000)
        watched.key("good")
        sockets = {key_id: watched.join(key_id=key_id) for key_id in ("revoked", "expired", "gone", "good", "root")}
        watched.now_ms += JUST_LET_IN_MS
        watched.over = "the job has ended"
        await watched.happen(2)
        for key_id in ("revoked", "expired", "gone"):
            assert sockets[key_id].seen == []
            assert sockets[key_id].goodbye == (POLICY, "the key has expired or was revoked")
        for key_id in ("good", "root"):
            assert (sockets[key_id].seen, sockets[key_id].goodbye) == ([1, 2], (NORMAL, "the job has ended"))

    asyncio.run(scenario())


def test_a_key_that_expires_soon_is_not_trusted_longer() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.key("soon", expires_at_ms=5_000)
        socket = watched.join(key_id="soon")
        watched.now_ms = 4_999
        await watched.happen()
        watched.now_ms = 5_000
        await watched.happen()
        assert socket.seen == [1]
        assert socket.goodbye is not None

    asyncio.run(scenario())


def test_while_keys_cannot_be_looked_up_a_watcher_may_come_back_later() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.key("key_a")
        socket = watched.join(key_id="key_a")
        watched.now_ms += JUST_LET_IN_MS
        watched.is_silent = True
        await watched.happen()
        assert socket.seen == []
        assert socket.goodbye == (TRY_AGAIN_LATER, "the keys cannot be looked up")

    asyncio.run(scenario())
