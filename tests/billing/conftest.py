from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.billing.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Iterator[Stage]:
    with Stage(database_url) as stage:
        yield stage
