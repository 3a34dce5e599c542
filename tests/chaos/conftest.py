from __future__ import annotations

import pytest

from local.process import LocalStack
from tests.workerd.corpus import large_text, managed, text
from tests.workerd.run import Ingestion
from tests.workerd.scene import Scene, large_chunks

#: Small beside the scene of tests/workerd: what happens to it here takes most of the time.
LARGE_BYTES = 1_200_000
DOCUMENTS = 12


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An ingestion, after it was played undisturbed."""
    documents = [
        managed("large.txt", large_text(LARGE_BYTES)),
        *(text(f"Document {number}.\n\n" + "It has a second paragraph. " * number) for number in range(DOCUMENTS)),
    ]
    scene = Scene(documents)
    with LocalStack(tmp_path_factory.mktemp("undisturbed")) as stack, Ingestion(stack) as ingestion:
        scene.start(ingestion)
        return Scene(documents, scene.finish(ingestion), large_chunks(ingestion))
