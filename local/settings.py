"""What the Worker's host process has to know."""

from __future__ import annotations

from urllib.parse import urlsplit

from local import bundle, classes, config, state
from local.logs import LaunchError
from local.options import Options

#: What the SDK reads of the compatibility flags that a Python Worker of this date has.
SDK_FLAGS = {"python_workflows_implicit_dependencies": True, "python_request_headers_preserve_commas": True}
#: The one cron expression that the local runtime can fire; schedules live in the orchestrator.
EVERY_MINUTE = "* * * * *"


def settings(options: Options, port: int, info: state.DevInfo, archives: bundle.Bundle) -> dict[str, object]:
    """Return what the Worker's host process has to know.

    Raises:
        ExportError: the Worker lacks a class that its configuration names.
        LaunchError: the configuration asks for what the local runtime does not do.
    """
    wrangler = config.read(options.config)
    if any(cron != EVERY_MINUTE for cron in wrangler.triggers.crons):
        raise LaunchError(f"the local runtime runs only the cron {EVERY_MINUTE!r}")
    exported = classes.exported(options.packages, options.main)
    classes.require(exported, options.main, wrangler.class_names())
    # Files to ingest may lie on this machine, and so may receivers of webhooks.
    texts = {"API_KEY": info.api_key, "OUTBOUND_ALLOW_LOOPBACK": "1"}
    if info.embeddings_url is not None:
        texts["EMBEDDINGS_URL"] = info.embeddings_url
        texts["VECTOR_STORE_DEFAULT"] = "pgvector"
    return {
        "port": port,
        "state": str(options.state),
        "archives": {
            "stdlib": str(archives.stdlib),
            "library": str(archives.library),
            "files": str(archives.files),
        },
        "apiKey": info.api_key,
        "crons": wrangler.triggers.crons,
        "mainModule": classes.main_module(exported),
        "python": {
            "main": options.main,
            "bucket": wrangler.r2_buckets[0].binding if wrangler.r2_buckets else None,
            "compatibilityFlags": SDK_FLAGS,
            "frozenClock": options.frozen_clock,
        },
        "worker": config.miniflare_config(wrangler, database_url=_worker_database(options, info), texts=texts),
    }


def _worker_database(options: Options, info: state.DevInfo) -> str | None:
    if info.database_url is None or options.database_port is None:
        return info.database_url
    parts = urlsplit(info.database_url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@127.0.0.1:{options.database_port}").geturl()
