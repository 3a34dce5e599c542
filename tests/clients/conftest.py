from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.trigger_dev import TriggerDev
from tests.http.support import Api


@pytest.fixture
def api() -> Api:
    """The API over a world of its own."""
    return Api()


@pytest.fixture(params=["blocking", "awaited"])
def awaited(request: pytest.FixtureRequest) -> bool:
    """Which of the two drivers."""
    return request.param == "awaited"


@pytest.fixture(scope="session")
def trigger_dev_server() -> Iterator[TriggerDev]:
    with TriggerDev() as running:
        yield running


@pytest.fixture
def trigger_dev(trigger_dev_server: TriggerDev) -> TriggerDev:
    """A strict stub of Trigger.dev's API, as after its start."""
    trigger_dev_server.forget()
    return trigger_dev_server
