from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ingestion.conftest import embedder, stage
from tests.ingestion.harness import Stage
from tests.parser_service.harness import ParserWorld, parser_world

__all__ = ["embedder", "service", "stage"]


@pytest.fixture
def service(stage: Stage) -> Iterator[ParserWorld]:
    with parser_world(stage) as found:
        yield found
