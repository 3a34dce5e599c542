"""A workflow tags its jobs by what they are about, whoever starts them."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel, ConfigDict, Field

from orchestrator import JobContext, WorkflowOptions, workflow
from orchestrator.errors import DefinitionError
from orchestrator.limits import MAX_TAG_CHARS
from orchestrator.model import JobOptions
from orchestrator.operations import ChildRequest
from orchestrator.testing import World


class File(BaseModel):
    model_config = ConfigDict(extra="ignore")

    file_id: str = Field(alias="fileId")
    pages: int = 1


@workflow("read-file", options=WorkflowOptions(tags=("file_{file_id}", "{pages} pages")))
async def read_file(job: JobContext, payload: File) -> None:
    pass


@workflow("read-files")
async def read_files(job: JobContext, payload: File) -> None:
    children = [ChildRequest(key="one", payload={"fileId": "c1", "pages": 2})]
    await job.map_children("files", "read-file", children, reduce=lambda state, outcome: state, state=None)


def tags(payload: object, *own: str) -> tuple[str, ...]:
    world = World(read_file)
    return world.view(world.start("read-file", payload, JobOptions(tags=own))).tags


def test_own_tags_come_after_those_of_the_caller_and_each_once() -> None:
    assert tags({"fileId": "a"}) == ("file_a", "1 pages")
    assert tags({"fileId": "a", "pages": 3}, "mine", "file_a") == ("mine", "file_a", "3 pages")


@pytest.mark.parametrize("file_id", ["x" * MAX_TAG_CHARS, "a\nb"])
def test_what_is_no_tag_is_left_out(file_id: str) -> None:
    assert tags({"fileId": file_id}) == ("1 pages",)


def test_children_have_them() -> None:
    world = World(read_file, read_files)
    parent = world.start("read-files", {"fileId": "c0"})
    asyncio.run(world.run())
    [child] = [world.view(job_id) for job_id in world.objects if job_id != parent]
    assert child.tags == ("file_c1", "2 pages")


def test_a_tag_that_names_no_field_is_no_tag() -> None:
    with pytest.raises(DefinitionError, match="names no field"):

        @workflow("misnamed", options=WorkflowOptions(tags=("file_{fileId}",)))
        async def misnamed(job: JobContext, payload: File) -> None:
            pass
