"""What callers send and get about API keys, as the OpenAPI document shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, Field, model_validator

from durable.http.access import Scope
from durable.http.answers import Cursor, Timestamp
from durable.http.models import MAX_PRIORITY, Body, Delay, LaneKey, Tenant
from orchestrator.limits import MAX_KEY_WORKFLOWS, MAX_LANE_KEYS, MAX_NAME_CHARS, MAX_RATE_PER_S

#: A key is of use this long unless its maker says otherwise.
VALID_DAYS = 90

KeyId = Annotated[str, Field(description="The key's id", examples=["key_01kx3m0d5v9q8w7e6r5t4y3u2z"])]
Name = Annotated[str, Field(min_length=1, max_length=100, description="For people", examples=["web application"])]
Rate = Annotated[int, Field(ge=1, le=MAX_RATE_PER_S)]


class KeyIn(Body):
    """Ask for a key."""

    name: Name
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(
        min_length=1, max_length=len(Scope), examples=[["enqueue", "read"]]
    )
    workflows: list[Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_KEY_WORKFLOWS,
        description="Only these workflows and their jobs exist for the key",
        examples=[["trigger-ingestion-job"]],
    )
    tenant: Tenant | None = Field(
        default=None,
        description="Only this tenant's jobs exist for the key; its own jobs are the tenant's",
        examples=["org_1"],
    )
    rate_per_s: Rate | None = Field(default=None, description="Requests per second; the deployment's own when null")
    lane_keys: dict[LaneKey, LaneKey] | None = Field(
        default=None,
        max_length=MAX_LANE_KEYS,
        description="What its jobs count as in lanes, whatever they say themselves: so a tenant cannot use up another's"
        " place",
        examples=[{"organization": "org_1"}],
    )
    max_priority: Annotated[int, Field(ge=0, le=MAX_PRIORITY)] | None = Field(
        default=None, description="The most head start that its jobs get, in seconds"
    )
    expires_in: Delay = Field(
        default=timedelta(days=VALID_DAYS),
        description="The key is of use this long: seconds, or an ISO 8601 duration; 0 is for ever",
        examples=["P90D"],
    )

    @model_validator(mode="after")
    def _admins_are_not_restricted(self) -> KeyIn:
        if Scope.ADMIN in self.scopes and (self.workflows is not None or self.tenant is not None):
            raise ValueError("a key that may make keys is not restricted: it could make itself one that is not")
        return self


class CurrentKeyOut(BaseModel):
    """What the key of the request may do."""

    id: str = Field(description="`root` is the deployment's own key", examples=["key_01kx3m0d5v9q8w7e6r5t4y3u2z"])
    scopes: list[Scope]
    workflows: list[str] | None = Field(examples=[["trigger-ingestion-job"]])
    tenant: str | None = Field(examples=["org_1"])


class KeyOut(BaseModel):
    """A key, without what opens it."""

    id: KeyId
    name: Name
    scopes: list[Scope]
    workflows: list[str] | None = Field(examples=[["trigger-ingestion-job"]])
    tenant: str | None = Field(examples=["org_1"])
    rate_per_s: int | None = Field(examples=[None])
    lane_keys: dict[str, str] | None = Field(examples=[{"organization": "org_1"}])
    max_priority: int | None = Field(examples=[None])
    created_at: Timestamp
    created_by: str = Field(description="The key that made it", examples=["root"])
    expires_at: Timestamp | None
    revoked_at: Timestamp | None = Field(examples=[None])


class NewKeyOut(KeyOut):
    """A new key. What opens it is shown this once."""

    key: str = Field(examples=["dok_01kx3m0d5v9q8w7e6r5t4y3u2z_…"])


class KeysOut(BaseModel):
    """One page of keys, newest first, those included that are of no use any more."""

    keys: list[KeyOut]
    next_cursor: Cursor | None
