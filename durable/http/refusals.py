"""Every code that a refusal may have, with its status and what it means: the source of the documentation."""

from __future__ import annotations

from types import MappingProxyType

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """What a code stands for."""

    status: int
    text: str


#: What any call may answer.
ANYWHERE = MappingProxyType(
    {
        "uri_too_long": Refusal(414, "The address is too long"),
        "headers_too_large": Refusal(431, "The headers are too many or too large"),
        "internal": Refusal(500, "The request failed for an internal reason; the log knows which"),
    }
)
#: What any call with a key may answer.
WITH_KEY = MappingProxyType(
    {
        "unauthorized": Refusal(401, "The request carries no valid key"),
        "missing_scope": Refusal(403, "The key lacks the scope that the call needs"),
        "rate_limited": Refusal(429, "The key has used up its rate; see Retry-After"),
        "no_api_key_configured": Refusal(503, "The secret API_KEY is not set, so every request is refused"),
        "object_overloaded": Refusal(503, "An object asks to be left alone for a moment; see Retry-After"),
        "object_unreachable": Refusal(503, "An object does not answer; see Retry-After"),
    }
)
#: What any call but a GET may answer: a body is looked at even where none is expected.
WITH_ANY_BODY = MappingProxyType(
    {
        "too_deep": Refusal(400, "The body is nested too deep"),
        "payload_too_large": Refusal(413, "The body is too large"),
        "unsupported_media_type": Refusal(415, "The body is not declared as JSON"),
    }
)
#: What any call that expects a body may answer.
WITH_BODY = MappingProxyType(
    {
        "invalid_json": Refusal(400, "The body is not JSON"),
        "invalid_request": Refusal(422, "The request does not fit; `errors` says where"),
    }
)
#: What calls about shared things answer to restricted keys.
SHARED = MappingProxyType(
    {"restricted_key": Refusal(403, "The key is restricted to a tenant or workflows; this call is about all of them")}
)
#: What a call whose parameters may not fit answers.
WITH_PARAMETERS = MappingProxyType({"invalid_request": WITH_BODY["invalid_request"]})
#: What single calls answer, when they say so.
OWN = MappingProxyType(
    {
        "invalid_cursor": Refusal(400, "The cursor is not one that this API gave"),
        "invalid_name": Refusal(400, "A name is too long, or holds control characters"),
        "idempotency_keys_differ": Refusal(400, "The Idempotency-Key header and the options name different keys"),
        "unknown_shard": Refusal(400, "The catalog has no such shard"),
        "unknown_step": Refusal(400, "The job has no such step"),
        "too_many_times": Refusal(400, "More planned times than one backfill may have"),
        "foreign_tenant": Refusal(403, "The key is of another tenant"),
        "foreign_workflow": Refusal(403, "The key is not for this workflow"),
        "unknown_job": Refusal(404, "There is no such job"),
        "unknown_workflow": Refusal(404, "There is no such workflow; `known` lists those that there are"),
        "unknown_lane": Refusal(404, "There is no such lane"),
        "unknown_schedule": Refusal(404, "There is no such schedule"),
        "unknown_dead_letter": Refusal(404, "There is no such dead letter"),
        "unknown_key": Refusal(404, "There is no such key"),
        "unknown_token": Refusal(404, "There is no such token"),
        "conflict": Refusal(409, "The job's state does not allow this"),
        "job_undone": Refusal(409, "What the job did was undone: it can only begin from scratch"),
        "budget_exceeded": Refusal(409, "The job has used up its budget, also the one it would get"),
        "idempotency_conflict": Refusal(409, "The idempotency key belongs to a job with another payload"),
        "job_ended": Refusal(409, "The job has ended"),
        "inbox_full": Refusal(409, "Too many events wait for the job"),
        "not_redrivable": Refusal(409, "The message named no job, so there is nothing to send again"),
        "too_many_keys": Refusal(409, "There are too many keys"),
        "schedule_exists": Refusal(409, "There is another schedule of this id"),
        "declared_in_code": Refusal(409, "The schedule belongs to a module of the code"),
        "backlog_full": Refusal(409, "Too many starts wait already"),
        "value_too_large": Refusal(413, "A value is larger than a checkpoint may be"),
        "invalid_payload": Refusal(422, "The payload does not fit the workflow's model; `errors` says where"),
        "too_many_watchers": Refusal(429, "The job has as many watchers as it may have"),
        "value_not_encodable": Refusal(422, "A value cannot be stored"),
        "invalid_cron": Refusal(422, "The cron expression is malformed, or no date fits it"),
        "unknown_time_zone": Refusal(422, "There is no such time zone"),
        "contradictory_options": Refusal(422, "Two options exclude each other"),
        "job_being_deleted": Refusal(503, "The job of this key is being deleted; its key is free in a moment"),
        "catalog_incomplete": Refusal(503, "A part of the catalog does not answer; `shards` names it"),
        "queue_unavailable": Refusal(503, "The queue took no message"),
        "no_secret_configured": Refusal(503, "Neither TOKEN_SECRET nor API_KEY is set"),
    }
)
#: Every code.
ALL = MappingProxyType({**ANYWHERE, **WITH_KEY, **WITH_ANY_BODY, **WITH_BODY, **SHARED, **OWN})
#: Codes of the calls that record jobs.
ENQUEUE = (
    "foreign_tenant",
    "foreign_workflow",
    "unknown_workflow",
    "invalid_payload",
    "contradictory_options",
    "idempotency_conflict",
    "value_too_large",
    "value_not_encodable",
    "job_being_deleted",
)
