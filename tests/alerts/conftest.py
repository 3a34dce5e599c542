from __future__ import annotations

import pytest

from tests.http.support import Api


@pytest.fixture
def api() -> Api:
    """The API over a world of its own."""
    return Api()
