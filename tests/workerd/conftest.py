from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.process import LocalStack
from tests.workerd.corpus import corpus
from tests.workerd.feature_api import Api, running
from tests.workerd.run import MAIN, Ingestion
from tests.workerd.scene import Scene, large_chunks


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The scene, after it was played undisturbed."""
    scene = Scene(corpus())
    with LocalStack(tmp_path_factory.mktemp("undisturbed")) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        remains = scene.finish(ingestion)
        assert {row["status"] for row in remains.picture.documents} == {"COMPLETED"}
        assert sum(job.crashes for job in ingestion.family(MAIN)) == 0
        return Scene(scene.documents, remains, large_chunks(ingestion))


@pytest.fixture(scope="session")
def quiet_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack that runs nothing but what these tests start."""
    with LocalStack(tmp_path_factory.mktemp("quiet")) as stack, Ingestion(stack) as ingestion:
        ingestion.tables.prepare()
        yield stack


@pytest.fixture
def ingestion(quiet_stack: LocalStack) -> Iterator[Ingestion]:
    with Ingestion(quiet_stack) as ingestion:
        yield ingestion


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running(tmp_path_factory.mktemp("features")) as api:
        yield api
