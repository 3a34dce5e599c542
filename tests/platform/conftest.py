from __future__ import annotations

import pytest

from tests.platform.stage import Stage


@pytest.fixture
def stage(database_url: str) -> Stage:
    return Stage(database_url)
