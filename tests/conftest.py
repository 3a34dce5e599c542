"""Fixtures that every part of the tests may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.process import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The whole local stack with the real Worker, on a state directory of its own."""
    with LocalStack(tmp_path_factory.mktemp("state")) as running:
        yield running
