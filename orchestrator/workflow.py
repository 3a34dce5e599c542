"""Workflow definitions and the registry that finds them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Coroutine, Iterator
from string import Formatter
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

import msgspec
from pydantic import BaseModel, ValidationError

from orchestrator.errors import DefinitionError, InvalidPayloadError, UnknownWorkflowError
from orchestrator.ids import checked_name
from orchestrator.lane import LanePolicy
from orchestrator.limits import MAX_JOB_USD, MAX_TAG_CHARS
from orchestrator.model import CreateJob, JobBudget
from orchestrator.retry import RetryPolicy

if TYPE_CHECKING:
    from orchestrator.context import JobContext

P = TypeVar("P", bound=BaseModel)
#: A runaway loop is stopped long before anybody reads the month's bill.
DEFAULT_BUDGET = JobBudget(estimated_usd=MAX_JOB_USD)
Author = Callable[["JobContext", P], Coroutine[object, object, object]]


class Main(Protocol):
    """What a workflow's function looks like to the engine."""

    def __call__(self, job: JobContext, payload: BaseModel, /) -> Coroutine[object, object, object]:
        """Begin the workflow."""
        ...


class Hook(Protocol):
    """``on_failure`` and ``on_cancel``: durable steps like any other."""

    def __call__(self, job: JobContext, payload: BaseModel, error: str, /) -> Coroutine[object, object, object]:
        """Begin the hook."""
        ...


class WorkflowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every job of a workflow."""

    #: The retry policy of its steps unless a step says otherwise.
    retry: RetryPolicy = RetryPolicy()
    #: The name of the Cloudflare queue its jobs travel through (``wrangler.toml``).
    queue: str = "orchestrator-default-queue"
    #: Limits that its jobs share, among themselves and with other workflows of the same lane.
    lane: LanePolicy | None = None
    #: What one of its jobs may use before it is paused, whatever its caller says.
    budget: JobBudget = DEFAULT_BUDGET
    #: A job that has been at work for so long since it began, or was retried, fails; 0 is never. Waits do not count.
    max_active_ms: int = 0
    #: Tags of every job beside its caller's, with fields of the payload in braces: ``document_{document_id}``.
    tags: tuple[str, ...] = ()
    #: Runs once, durably, when the workflow has failed.
    on_failure: Hook | None = None
    #: Runs once, durably, when the job is cancelled.
    on_cancel: Hook | None = None
    #: Where its jobs begin again when they are retried and nothing else is asked for: what earlier steps of a job found
    #: out, or did, may be true no longer.
    retried_from: Literal["failed_steps", "scratch"] = "failed_steps"


class Workflow(msgspec.Struct, frozen=True, kw_only=True):
    """A registered definition."""

    name: str
    version: int
    payload_model: type[BaseModel]
    main: Main
    options: WorkflowOptions

    def accept(self, request: CreateJob) -> CreateJob:
        """Validate a request's payload; return the request with the workflow's own tags.

        Raises:
            InvalidPayloadError: see :meth:`parse`.
        """
        payload = self.parse(request.payload)
        own = (template.format_map(vars(payload)) for template in self.options.tags)
        tags = (*request.options.tags, *(tag for tag in own if tag.isprintable() and len(tag) <= MAX_TAG_CHARS))
        options = msgspec.structs.replace(request.options, tags=tuple(dict.fromkeys(tags)))
        return msgspec.structs.replace(request, options=options)

    def parse(self, payload: object) -> BaseModel:
        """Validate a payload.

        Raises:
            InvalidPayloadError: with one entry per fault in ``details["errors"]``; values are not repeated.
        """
        try:
            return self.payload_model.model_validate(payload)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            paths = [
                {"path": ".".join(map(str, fault["loc"])), "message": fault["msg"].removeprefix("Value error, ")}
                for fault in faults
            ]
            first = ": ".join(filter(None, paths[0].values())) if paths else "invalid"
            raise InvalidPayloadError(
                f"The payload does not fit {self.name}: {first}", details={"errors": paths}
            ) from None


def workflow(
    name: str,
    *,
    version: int = 1,
    options: WorkflowOptions | None = None,
) -> Callable[[Author[P]], Workflow]:
    """Make a workflow of an ``async def (job, payload)``.

    Args:
        name: what callers ask for.
        version: recorded with each job.
        options: retry policy, queue and hooks.

    Raises:
        DefinitionError: the function is not ``async``, its payload is not annotated with a pydantic model, or a tag
            names none of the payload's fields.
    """

    def register(main: Author[P]) -> Workflow:
        if not inspect.iscoroutinefunction(main):
            raise DefinitionError(f"Workflow {name!r} must be an async def")
        chosen, model = options or WorkflowOptions(), _payload_model(name, main)
        for template in chosen.tags:
            _check_tag(name, template, model)
        return Workflow(
            name=checked_name(name, what="workflow name"),
            version=version,
            payload_model=model,
            main=cast("Main", main),
            options=chosen,
        )

    return register


class Registry:
    """The workflows a Worker knows, by name."""

    def __init__(self, workflows: list[Workflow]) -> None:
        self._by_name: dict[str, Workflow] = {}
        #: The lanes of the workflows, by name.
        self.lanes: dict[str, LanePolicy] = {}
        for item in workflows:
            other = self._by_name.setdefault(item.name, item)
            if other is not item:
                places = f"{other.main.__module__} and {item.main.__module__}"
                raise DefinitionError(f"Two workflows are named {item.name!r}, in {places}")
            lane = item.options.lane
            if lane is not None and self.lanes.setdefault(lane.name, lane) != lane:
                raise DefinitionError(f"Two workflows say different limits of lane {lane.name!r}")

    def get(self, name: str) -> Workflow:
        """Return a workflow.

        Raises:
            UnknownWorkflowError: no workflow has this name.
        """
        found = self._by_name.get(name)
        if found is None:
            raise UnknownWorkflowError(f"There is no workflow {name[:80]!r}", details={"known": sorted(self._by_name)})
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Workflow]:
        return iter(self._by_name.values())


def discover(package: ModuleType) -> Registry:
    """Import every module of a package and collect the workflows they define."""
    found: dict[int, Workflow] = {}
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        module = importlib.import_module(info.name)
        found.update({id(item): item for item in vars(module).values() if isinstance(item, Workflow)})
    return Registry(list(found.values()))


def _payload_model(name: str, main: Callable[..., object]) -> type[BaseModel]:
    parameters = list(inspect.signature(main, eval_str=True).parameters.values())
    model: object = parameters[1].annotation if len(parameters) == 2 else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise DefinitionError(f"Workflow {name!r} takes (job: JobContext, payload: SomePydanticModel)")
    return model


def _check_tag(name: str, template: str, model: type[BaseModel]) -> None:
    fields = {field for _, field, _, _ in Formatter().parse(template) if field is not None}
    if not fields <= model.model_fields.keys():
        raise DefinitionError(f"Tag {template!r} of workflow {name!r} names no field of its payload")
