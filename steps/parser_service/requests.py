"""The bodies of the parser service's requests (domain.md §3.1).

Options that are not set are left out: the service checks declared types strictly, and null is none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from orchestrator.errors import NonRetryableError
from steps.outbound import OutboundSettings, checked_url
from steps.platform.document_input import DocumentConfig, DocumentInput, TextSource

#: Chunks per Redis key.
BATCH_SIZE = 30
_VIDEO_HOSTS = frozenset({"www.youtube.com", "youtu.be"})

Body = dict[str, object]


class CrawlPayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ingest_job.payload`` of a crawl (domain.md §1.8)."""

    url: str
    max_depth: int | None = None
    limit: int | None = None
    include_paths: list[str] | None = None
    exclude_paths: list[str] | None = None
    headers: dict[str, str] | None = None

    def __repr__(self) -> str:
        return "CrawlPayload(…)"  # headers may be credentials


class YoutubePayload(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``ingest_job.payload`` of videos (domain.md §1.8)."""

    urls: list[str]
    transcript_languages: list[str] | None = None
    include_metadata: bool | None = None


class Callback(msgspec.Struct, frozen=True):
    """Who is told: a token of the job, and what may complete it."""

    token_id: str
    access_token: str

    def __repr__(self) -> str:
        return f"Callback({self.token_id}, …)"


def ingest_body(callback: Callback, found: DocumentInput, file_url: str | None) -> Body:
    """Return the request that parses one document.

    Args:
        callback: who is told.
        found: the document.
        file_url: where the service reads it; None for a text, which is sent along.
    """
    text = isinstance(found.source, TextSource)
    filename = f"{found.document_id}.txt" if text else found.name
    return {
        **_common(callback, found.namespace_id, found.metadata),
        "document_id": found.document_id,
        "batch_size": BATCH_SIZE,
        **({"text": found.source.text} if isinstance(found.source, TextSource) else {"url": file_url}),
        **_set(filename=filename or None),
        **_set(chunk_options=_chunk_options(found.config) or None, parse_options=_parse_options(found.config) or None),
    }


def crawl_body(
    callback: Callback,
    namespace_id: str,
    metadata: Mapping[str, object],
    config: DocumentConfig,
    payload: CrawlPayload,
    settings: OutboundSettings,
) -> Body:
    """Return the request that crawls a site.

    Raises:
        NonRetryableError: code ``url_refused``.
    """
    return {
        **_common(callback, namespace_id, metadata),
        "url": checked_url(payload.url, settings),
        "crawl_options": _set(
            max_depth=payload.max_depth,
            limit=payload.limit,
            exclude_paths=payload.exclude_paths,
            include_paths=payload.include_paths,
            headers=payload.headers,
        ),
        "chunk_options": _set(chunk_size=config.chunk_size),
    }


def youtube_body(
    callback: Callback,
    namespace_id: str,
    metadata: Mapping[str, object],
    config: DocumentConfig,
    payload: YoutubePayload,
) -> Body:
    """Return the request that transcribes videos.

    Raises:
        NonRetryableError: code ``url_refused``: a url is none of YouTube's.
    """
    for url in payload.urls:
        if urlsplit(checked_url(url, OutboundSettings())).hostname not in _VIDEO_HOSTS:
            raise NonRetryableError("The address is refused: it is none of YouTube's", code="url_refused")
    return {
        **_common(callback, namespace_id, metadata),
        "urls": payload.urls,
        **_set(transcript_languages=payload.transcript_languages, include_metadata=payload.include_metadata),
        "chunk_options": _set(chunk_size=config.chunk_size),
    }


def _common(callback: Callback, namespace_id: str, metadata: Mapping[str, object]) -> Body:
    return {
        "trigger_token_id": callback.token_id,
        "trigger_access_token": callback.access_token,
        "namespace_id": namespace_id,
        **_set(extra_metadata=dict(metadata) or None),
    }


def _chunk_options(config: DocumentConfig) -> Body:
    return _set(chunk_size=config.chunk_size, delimiter=config.delimiter, language_code=config.language_code)


def _parse_options(config: DocumentConfig) -> Body:
    additional = _set(
        keep_pagefooter_in_output=config.keep_pagefooter_in_output,
        keep_pageheader_in_output=config.keep_pageheader_in_output,
    )
    return _set(
        mode=config.mode,
        disable_image_extraction=config.disable_image_extraction,
        disable_image_captions=config.disable_image_captions,
        additional_config=additional or None,
        extras="chart_understanding" if config.chart_understanding else None,
    )


def _set(**options: object) -> Body:
    return {name: value for name, value in options.items() if value is not None}
