from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.embeddings.providers import PROVIDERS, Provider
from tests.embeddings.stub_server import StubServer


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.name)
def provider(request: pytest.FixtureRequest) -> Provider:
    chosen = request.param
    assert isinstance(chosen, Provider)
    return chosen


@pytest.fixture
def stub(provider: Provider) -> Iterator[StubServer]:
    with StubServer(provider.answer) as server:
        yield server
