"""Secrets stay where they are: in rows and settings, and in the requests that need them (W-31).

Every service is in the scene, each with a secret that can be recognized. Every workflow is run, once as usual, and once
with services that refuse everything and repeat all that they were sent. Then everything is searched that jobs keep or
show: the rows of every object, what spilled into object storage, log lines, statuses, results, and rows' errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest

import steps
from orchestrator.workflow import Workflow, discover
from steps.outbound import OutboundSettings
from steps.parser_service.config import ParserServiceSettings
from steps.presigned import S3Settings
from steps.webhooks.settings import WebhookSettings
from tests.billing import stub as stripe
from tests.embeddings.stub_server import Received, Reply, json_reply
from tests.ingestion.embedder import embeddings
from tests.parser_service import stub as parser
from tests.platform import scene
from tests.platform.examples import example_of
from tests.platform.picture import Row
from tests.platform.stage import Outcome, Play, Stage
from tests.redis.stub import TOKEN
from tests.vectors.stores import SECRET as VECTOR_KEY
from tests.webhooks.stubs import RESEND_KEY, TINYBIRD_KEY, ResendStub, TinybirdStub

OPENAI_KEY, S3_SECRET, CRAWL_PASSWORD = (
    "sk-Planted-Secret-0123456789",
    "s3-Planted-Secret-0123456789",
    "Planted-Password",
)
WEBHOOK_SECRETS = [f"whsec_{name}" for name in (scene.EVERYWHERE, scene.SCOPED, scene.SCOPED_TWICE, scene.DISABLED)]
#: Sent as they are; those of webhooks and of S3 only sign.
SENT = {OPENAI_KEY, VECTOR_KEY, TOKEN, stripe.API_KEY, parser.API_KEY, TINYBIRD_KEY, RESEND_KEY, CRAWL_PASSWORD}
PARSER_ORIGIN, TINYBIRD_ORIGIN, RESEND_ORIGIN = (f"https://{name}.example.com" for name in ("parser", "log", "mail"))
OPENAI_ORIGIN = "https://api.openai.com"
CRAWL: Row = {"type": "CRAWL", "url": "https://example.com/", "headers": {"authorization": f"Basic {CRAWL_PASSWORD}"}}
CONFIGS: Mapping[str, tuple[Row, Row | None]] = {
    scene.NAMESPACE: ({"provider": "OPENAI", "model": "text-embedding-3-small", "apiKey": OPENAI_KEY}, None),
    scene.PINECONE: (
        {"provider": "OPENAI", "model": "text-embedding-3-small", "apiKey": OPENAI_KEY},
        {"provider": "PINECONE", "apiKey": VECTOR_KEY, "indexHost": scene.PINECONE_ORIGIN},
    ),
    scene.TURBOPUFFER: (
        {"provider": "OPENAI", "model": "text-embedding-3-small", "apiKey": OPENAI_KEY},
        {"provider": "TURBOPUFFER", "apiKey": VECTOR_KEY, "region": "aws-us-east-1"},
    ),
}
#: Beside each workflow's own example.
MORE: Mapping[str, list[dict[str, object]]] = {
    "trigger-document-job": [{"documentId": scene.PAGES[0], "ingestJobId": scene.CRAWL, "cleanup": True}],
    "re-ingest-job": [{"jobId": scene.SHARED}],
    "delete-ingest-job": [{"jobId": scene.SHARED}, {"jobId": scene.CRAWL}],
}


async def plant(play: Play, service: parser.ParserStub) -> None:
    """Give every service a secret, and the job's own webhook a reason to warn its owner."""
    for namespace_id, (embedding, vectors) in CONFIGS.items():
        await play.admin.execute(
            'update namespace set "embeddingConfig" = $2::jsonb, "vectorStoreConfig" = $3::jsonb where id = $1',
            namespace_id,
            json.dumps(embedding),
            None if vectors is None else json.dumps(vectors),
        )
    await play.admin.execute('update "Webhook" set "consecutiveFailures" = 4 where id = $1', scene.EVERYWHERE)
    play.settings = msgspec.structs.replace(
        play.settings,
        parser_service=ParserServiceSettings(url=PARSER_ORIGIN, key=parser.API_KEY),
        s3=S3Settings(endpoint="https://s3.example.com", access_key="access", secret_key=S3_SECRET, bucket="b"),
        outbound=OutboundSettings(),
        webhooks=WebhookSettings(
            tinybird_url=TINYBIRD_ORIGIN, tinybird_key=TINYBIRD_KEY, resend_url=RESEND_ORIGIN, resend_key=RESEND_KEY
        ),
    )
    play.world.services = play.services()
    play.http.routes |= {
        PARSER_ORIGIN: service,
        OPENAI_ORIGIN: _openai,
        TINYBIRD_ORIGIN: TinybirdStub(),
        RESEND_ORIGIN: ResendStub(),
    }
    play.receivers.answers[scene.EVERYWHERE] = lambda _: Reply(500)


def _openai(request: Received) -> Reply:
    if request.headers.get("authorization") != f"Bearer {OPENAI_KEY}":
        return json_reply({"error": {"message": "Incorrect API key"}}, 401)
    return embeddings(request)


def _file_is_empty(call: parser.Call) -> dict[str, object] | None:
    """Say that a file has nothing in it: the stub cannot fetch one here."""
    if call.kind != "ingest" or "text" in call.body:
        return None
    counts = {"total_characters": 0, "total_chunks": 0, "total_batches": 0}
    return {"status": 200, "metadata": {"size_in_bytes": 3}, "batch_template": "results_x_[BATCH_INDEX]", **counts}


def refuse(request: Received) -> Reply:
    """Refuse, and repeat all that was sent."""
    sent = {**request.headers, "path": request.path, "body": request.body.decode("utf-8", "replace")[:500]}
    return json_reply({"error": {"message": f"Not allowed: {sent}"}}, 403)


class Searched(msgspec.Struct):
    """What one run keeps and shows, and which secrets it must not have."""

    outcome: Outcome
    secrets: set[str]

    def sent(self) -> set[str]:
        """Return the secrets that were sent to where they belong."""
        traffic = repr(self.outcome.play.http.traffic)
        return {secret for secret in SENT if secret in traffic}

    def found(self) -> list[str]:
        """Return where secrets are that should not be."""
        places = kept(self.outcome).items()
        return [f"{secret} in {name}" for name, text in places for secret in self.secrets if secret in text]


def kept(outcome: Outcome) -> dict[str, str]:
    """Return everything that is kept or shown of a run."""
    world, found = outcome.world, dict[str, str]()
    for name, item in [*world.objects.items(), *world.lanes.by_name.items()]:
        for (table,) in item.sql.execute("select name from sqlite_master where type = 'table'"):
            rows = item.sql.execute(f"select * from {table}")  # type: ignore[arg-type]
            found[f"{name}: {table}"] = repr(rows)
    for job_id in world.objects:
        found[f"{job_id}: status"] = repr(world.view(job_id))
    found["log lines"] = repr(world.logs)
    found["values in object storage"] = repr(vars(world.blobs))
    tables = outcome.picture.tables
    for table in ("event", "parsed", "counted"):
        found[table] = repr(tables[table])
    for table in ("document", "ingest_job"):
        found[f"errors of {table}"] = repr([row["error"] for row in tables[table]])
    return found


def search(
    stage: Stage, workflow: str, payload: Mapping[str, object], *, refused: bool, crawl: bool = False
) -> Searched:
    batches: dict[str, str] = {}
    service = parser.ParserStub(batches, lambda key, data: None)
    service.outcome = _file_is_empty
    service.pages = [parser.Page("kpage00000000000000000009", "A page.", "https://example.com/nine")]

    async def prepare(play: Play) -> None:
        play.redis.strings = batches
        await plant(play, service)
        if crawl:
            await play.admin.execute(
                "update ingest_job set payload = $2::jsonb where id = $1", scene.QUEUED, json.dumps(CRAWL)
            )
        if refused and not crawl:
            # The built-in parser: a document that no parser takes asks nobody for embeddings.
            play.settings = msgspec.structs.replace(play.settings, parser_service=ParserServiceSettings())
            play.world.services = play.services()
        if refused:
            play.http.routes = dict.fromkeys(play.http.routes, refuse)

    outcome = stage.run(workflow, payload, prepare=prepare)
    made = {call.access_token for call in service.calls} | set(outcome.play.stripe.sessions)
    signatures = {
        str(call.body["url"]).partition("X-Amz-Signature=")[2] for call in service.calls if "url" in call.body
    }
    return Searched(outcome, SENT | {S3_SECRET} | set(WEBHOOK_SECRETS) | made | (signatures - {""}))


def runs() -> list[tuple[Workflow, dict[str, object], bool]]:
    """Return every workflow with its payloads; the ingestion also as a crawl."""
    found: list[tuple[Workflow, dict[str, object], bool]] = []
    for workflow in discover(steps):
        payloads = [example_of(workflow), *MORE.get(workflow.name, [])]
        found += [(workflow, payload, False) for payload in payloads]
        if workflow.name == "trigger-ingestion-job":
            found.append((workflow, payloads[0], True))
    return found


@pytest.mark.parametrize("refused", [False, True], ids=["as usual", "refused and repeated"])
def test_no_secret_is_kept_or_shown(stage: Stage, refused: bool) -> None:
    sent: set[str] = set()
    for workflow, payload, crawl in runs():
        searched = search(stage, workflow.name, payload, refused=refused, crawl=crawl)
        assert searched.found() == [], workflow.name
        sent |= searched.sent()
    # Each of them has been where it belongs: what was searched for was there.
    assert sent == SENT
