"""Who may do what: scopes, the principal that a key stands for, and what each route says about its callers.

A route that says nothing cannot be registered, so a new one is never open by oversight.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Literal, TypeVar

import msgspec

from orchestrator.errors import DefinitionError, ForbiddenError
from orchestrator.model import JobOptions, JobOwner

Handler = TypeVar("Handler", bound=Callable[..., Coroutine[object, object, object]])


class Scope(StrEnum):
    """What a key may be used for. None includes another, but ``admin``, which includes all."""

    ENQUEUE = "enqueue"
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf a request acts."""

    key_id: str
    scopes: frozenset[Scope] = frozenset()
    #: Only these workflows and their jobs exist for it; all when None.
    workflows: frozenset[str] | None = None
    #: Only this tenant's jobs exist for it; all when None.
    tenant: str | None = None
    #: Requests per second; the deployment's own rate when None.
    rate_per_s: int | None = None
    #: What its jobs count as in lanes, whatever they say themselves.
    lane_keys: dict[str, str] | None = None
    #: The most head start that its jobs get, in seconds.
    max_priority: int | None = None

    @property
    def is_restricted(self) -> bool:
        """Whether some jobs do not exist for it."""
        return self.workflows is not None or self.tenant is not None

    def may(self, scope: Scope) -> bool:
        """Tell whether it has a scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def sees(self, owner: JobOwner) -> bool:
        """Tell whether a job exists for it."""
        mine = self.tenant is None or owner.tenant == self.tenant
        return mine and (self.workflows is None or owner.workflow in self.workflows)

    def confine(self, workflow: str, options: JobOptions) -> JobOptions:
        """Return the options of a job that it asks for, with its tenant and within what its key allows.

        Raises:
            ForbiddenError: it asks for another tenant's job (code ``foreign_tenant``), or for a workflow that its key
                does not name (code ``foreign_workflow``).
        """
        if self.workflows is not None and workflow not in self.workflows:
            raise ForbiddenError("The key is not for this workflow", code="foreign_workflow")
        if self.tenant is not None and options.tenant not in {None, self.tenant}:
            raise ForbiddenError("The key is of another tenant", code="foreign_tenant")
        return msgspec.structs.replace(
            options,
            tenant=self.tenant or options.tenant,
            lane_keys=options.lane_keys if self.lane_keys is None else self.lane_keys,
            priority=options.priority if self.max_priority is None else min(options.priority, self.max_priority),
        )


#: Whoever has not shown who they are.
NOBODY = Principal(key_id="nobody")
#: The deployment's own key, the secret ``API_KEY``.
ROOT = Principal(key_id="root", scopes=frozenset({Scope.ADMIN}))


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a route says about its callers and about what it refuses."""

    #: How callers show who they are: not at all, with a key, or with the token's own bearer.
    by: Literal["nothing", "key", "token"] = "key"
    #: The scope that their key needs; any key will do when None.
    scope: Scope | None = None
    #: Whether the route is about what tenants share, so that a restricted key has no business there.
    shared: bool = False
    #: Codes of its own refusals; those of every route are known anyway.
    codes: tuple[str, ...] = ()


_DECLARED: dict[Callable[..., object], Access] = {}


def needs(scope: Scope | None, *codes: str, shared: bool = False) -> Callable[[Handler], Handler]:
    """Declare a handler for keys with a scope.

    Args:
        scope: what the key needs; None is any key.
        codes: of the refusals that are this handler's own.
        shared: refuse keys that are restricted to a tenant or to workflows.
    """
    return _declare(Access(scope=scope, shared=shared, codes=codes))


def open_to_all() -> Callable[[Handler], Handler]:
    """Declare a handler that needs no key."""
    return _declare(Access(by="nothing"))


def by_token(*codes: str) -> Callable[[Handler], Handler]:
    """Declare a handler whose callers show the token's own bearer, which the gate checks."""
    return _declare(Access(by="token", codes=codes))


def access_of(handler: Callable[..., object]) -> Access:
    """Return what a handler declares.

    Raises:
        DefinitionError: nothing.
    """
    found = _DECLARED.get(handler)
    if found is None:
        raise DefinitionError(f"The handler {handler.__name__} does not say who may call it: use @needs")
    return found


def access_named(name: str) -> Access:
    """Return what the handler of this name declares; a call's operation id is its handler's name."""
    return next(access for handler, access in _DECLARED.items() if handler.__name__ == name)


def admit(access: Access, principal: Principal) -> None:
    """Let a request pass.

    Raises:
        ForbiddenError: the key lacks the scope (code ``missing_scope``), or is restricted and the route is about what
            tenants share (code ``restricted_key``).
    """
    if access.by != "key":
        return
    if access.scope is not None and not principal.may(access.scope):
        detail = f"The key needs the scope {access.scope}"
        raise ForbiddenError(detail, code="missing_scope", details={"scope": access.scope.value})
    if access.shared and principal.is_restricted:
        raise ForbiddenError("This call is about all tenants' things, and the key is restricted", code="restricted_key")


def _declare(access: Access) -> Callable[[Handler], Handler]:
    def declare(handler: Handler) -> Handler:
        _DECLARED[handler] = access
        return handler

    return declare
