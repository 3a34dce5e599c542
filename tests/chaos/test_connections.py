"""The network between the Worker and Postgres cuts connections, and loses the answers to commits."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from local.process import LocalStack
from tests.chaos.proxy import Proxy
from tests.workerd.run import MAIN, Ingestion
from tests.workerd.scene import Scene


@contextmanager
def stack_behind(proxy: Proxy, folder: Path) -> Generator[LocalStack]:
    """Start a stack whose Worker reaches Postgres through the proxy."""
    with LocalStack(folder, arguments=("--database-port", str(proxy.port))) as stack:
        proxy.pass_on_to(stack.database_url)
        yield stack


class EveryNth:
    """A fault at every n-th message of a kind."""

    def __init__(self, number: int, kind: Callable[[bytes], bool] = lambda _sent: True) -> None:
        self._kind = kind
        self._number = number
        self.seen = 0

    def __call__(self, sent: bytes) -> bool:
        if not self._kind(sent):
            return False
        self.seen += 1
        return self.seen % self._number == 0


def is_commit(sent: bytes) -> bool:
    """Tell a commit from the documents' texts, which speak of commits, too."""
    return len(sent) < 100 and b"commit" in sent.lower()


def test_commits_take_effect_and_are_reported_as_failures(scene: Scene, tmp_path: Path) -> None:
    fault = EveryNth(3, is_commit)
    with Proxy() as proxy, stack_behind(proxy, tmp_path) as stack, Ingestion(stack) as ingestion:
        proxy.fault = fault
        scene.start(ingestion)
        scene.finish(ingestion)
        assert fault.seen >= 30
        assert proxy.cuts == fault.seen // 3
        assert sum(job.crashes for job in ingestion.family(MAIN)) == 0


def test_connections_are_cut_in_the_middle_of_everything(scene: Scene, tmp_path: Path) -> None:
    """Every 120th message of any kind: queries, inserts of vectors, the start of a session."""
    fault = EveryNth(120)
    with Proxy() as proxy, stack_behind(proxy, tmp_path) as stack, Ingestion(stack) as ingestion:
        proxy.fault = fault
        scene.start(ingestion)
        scene.finish(ingestion)
        assert proxy.cuts >= 3
        assert sum(job.crashes for job in ingestion.family(MAIN)) == 0


def test_every_connection_is_cut_at_once_again_and_again(scene: Scene, tmp_path: Path) -> None:
    with Proxy() as proxy, stack_behind(proxy, tmp_path) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        for share in (0.1, 0.3, 0.5, 0.7):
            scene.reach(ingestion, share)
            proxy.cut()
        scene.finish(ingestion)
        assert proxy.cuts >= 1
