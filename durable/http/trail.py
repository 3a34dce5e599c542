"""Recording control actions in the audit log: before they begin, and how they were answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from durable.audit import AuditEntry, AuditOutcome, entry_id
from durable.http.access import Access, Scope
from durable.http.answers import BulkItemOut
from durable.http.host import Host, host_of
from durable.http.problems import problem_of
from orchestrator.errors import OrchestratorError
from orchestrator.ids import ULID_RANDOM_BYTES

#: Calls with these scopes change something that is not a new job.
_AUDITED = frozenset({Scope.OPERATE, Scope.ADMIN})


def is_audited(access: Access, method: str) -> bool:
    """Tell whether a call is a control action."""
    return access.scope in _AUDITED and method != "GET"


async def audited(request: Request, operation: str, act: Callable[[], Awaitable[Response]]) -> Response:
    """Answer a control action, with an entry in the audit log from before it begins.

    Raises:
        OrchestratorError: the action's, or that of an audit log that cannot be reached: then nothing was done.
    """
    host = host_of(request)
    entry = _entry(host, request, operation, next(iter(request.path_params.values()), ""))
    await host.audit.add([entry])
    status = 500
    try:
        response = await act()
        status = response.status_code
    except RequestValidationError:
        status = 422
        raise
    except OrchestratorError as error:
        status = int(str(problem_of(error)["status"]))
        raise
    finally:
        outcome = AuditOutcome(id=entry.id, status=status, target=request.scope.get("audit_target"))
        await _settle(host, [outcome])
    return response


def turned_out_to_be_about(request: Request, target: str) -> None:
    """Say what an action is about, where its address does not."""
    request.scope["audit_target"] = target


class Trail:
    """Entries of their own for each of many things that one action is about.

    Args:
        request: the action's.
        operation: what is done to each.
        targets: the things.
    """

    def __init__(self, request: Request, operation: str, targets: Sequence[str]) -> None:
        self._host = host_of(request)
        self._entries = {target: _entry(self._host, request, operation, target) for target in targets}

    async def begin(self) -> None:
        """Keep the entries, before anything is done."""
        if self._entries:
            await self._host.audit.add(list(self._entries.values()))

    async def end(self, results: Sequence[BulkItemOut]) -> None:
        """Note how it went for each."""
        outcomes = [
            AuditOutcome(id=self._entries[item.id].id, status=200 if item.error is None else item.error.status)
            for item in results
        ]
        if outcomes:
            await _settle(self._host, outcomes)


def _entry(host: Host, request: Request, operation: str, target: str) -> AuditEntry:
    now_ms = host.clock.now_ms()
    entry = AuditEntry(
        id=entry_id(now_ms, host.entropy.random_bytes(ULID_RANDOM_BYTES)),
        at_ms=now_ms,
        key_id=host.principal.key_id,
        operation=operation,
        target=target,
        request_id=str(request.scope["request_id"]),
    )
    host.log("info", "audit", {"key": entry.key_id, "operation": operation, "target": target, "id": entry.id})
    return entry


async def _settle(host: Host, outcomes: Sequence[AuditOutcome]) -> None:
    """Add answers to entries; that an entry stays without one is no reason to answer otherwise."""
    try:
        await host.audit.settle(outcomes)
    except OrchestratorError as error:
        host.log("warning", "audit.unsettled", {"entries": len(outcomes), "error": error.error_code})
