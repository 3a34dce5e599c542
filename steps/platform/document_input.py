"""What a document's processing reads: its source, its config, and its namespace's providers.

Loaded inside steps and kept in memory only: it holds texts and credentials, which never enter a checkpoint (W-31).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import msgspec

from orchestrator.errors import NonRetryableError
from orchestrator.ports import Connection
from steps.embeddings.config import EmbeddingConfig, parse_embedding_config
from steps.parsing import ParseOptions
from steps.platform.rows import row_as
from steps.vectors import MetadataValue
from steps.vectors.config import VectorStoreConfig, parse_vector_store_config


class _Source(msgspec.Struct, frozen=True, tag_field="type", rename="camel"):
    pass


class TextSource(_Source, tag="TEXT", frozen=True):
    """A text given in the payload."""

    text: str


class FileSource(_Source, tag="FILE", frozen=True):
    """A file to be fetched."""

    file_url: str


class ManagedFileSource(_Source, tag="MANAGED_FILE", frozen=True):
    """An object of the platform's own store."""

    key: str


class CrawledPageSource(_Source, tag="CRAWLED_PAGE", frozen=True):
    """A page that the crawler has parsed."""


class YoutubeVideoSource(_Source, tag="YOUTUBE_VIDEO", frozen=True):
    """A video whose transcript the parser service has made."""


Source = TextSource | FileSource | ManagedFileSource | CrawledPageSource | YoutubeVideoSource


class DocumentConfig(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """``config`` of a document or an ingest job (domain.md §1.8). The built-in parser knows the first three."""

    chunk_size: int | None = None
    delimiter: str | None = None
    metadata: dict[str, MetadataValue] | None = None
    language_code: str | None = None
    mode: str | None = None
    disable_image_extraction: bool | None = None
    disable_image_captions: bool | None = None
    chart_understanding: bool | None = None
    keep_pageheader_in_output: bool | None = None
    keep_pagefooter_in_output: bool | None = None

    @property
    def options(self) -> ParseOptions:
        """How the built-in parser cuts the document."""
        defaults = ParseOptions()
        return ParseOptions(defaults.chunk_size if self.chunk_size is None else self.chunk_size, self.delimiter)


class DocumentInput(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one document needs to be parsed, embedded and stored.

    Attributes:
        document_id: the ``document`` row.
        namespace_id: its namespace.
        tenant_id: its tenant, if it has one.
        name: file name, if one was given.
        source: where the content is.
        config: the document's own over its ingest job's, without metadata.
        metadata: stored with every chunk.
        embedding: the namespace's provider; None is the default.
        vectors: the namespace's store; None is the default.
    """

    document_id: str
    namespace_id: str
    tenant_id: str | None
    name: str | None
    source: Source
    config: DocumentConfig
    metadata: dict[str, MetadataValue]
    embedding: EmbeddingConfig | None
    vectors: VectorStoreConfig | None

    def __repr__(self) -> str:
        return f"DocumentInput({self.document_id}, …)"


class _Row(msgspec.Struct, frozen=True):
    namespace_id: str
    tenant_id: str | None
    name: str | None
    source: str
    config: str | None
    job_config: str | None
    embedding: str | None
    vectors: str | None


async def load_document_input(connection: Connection, document_id: str) -> DocumentInput | None:
    """Return what a document's processing needs, or None when the row is gone.

    Raises:
        NonRetryableError: codes ``invalid_document_source``, ``invalid_document_config``, ``invalid_embedding_config``,
            ``invalid_vector_store_config``: the stored value cannot be used (W-33).
    """
    found = await connection.fetchrow(
        """select d."namespaceId" as namespace_id, d."tenantId" as tenant_id, d.name, d.source::text as source,
            d.config::text as config, j.config::text as job_config, n."embeddingConfig"::text as embedding,
            n."vectorStoreConfig"::text as vectors
        from document d join ingest_job j on j.id = d."ingestJobId" join namespace n on n.id = d."namespaceId"
        where d.id = $1""",
        document_id,
    )
    if found is None:
        return None
    row = row_as(found, _Row)
    with _explained("source"):
        source = msgspec.json.decode(row.source, type=Source)
    job_config, config = parse_config(row.job_config), parse_config(row.config)
    return DocumentInput(
        document_id=document_id,
        namespace_id=row.namespace_id,
        tenant_id=row.tenant_id,
        name=row.name,
        source=source,
        config=overlaid(job_config, config),
        metadata=extra_metadata(row.namespace_id, document_id, row.tenant_id, row.name, source, job_config, config),
        embedding=parse_embedding_config(row.embedding),
        vectors=parse_vector_store_config(row.vectors),
    )


async def load_vector_store_config(connection: Connection, namespace_id: str) -> VectorStoreConfig | None:
    """Return a namespace's vector store; None is the default, also for a namespace that is gone.

    Raises:
        NonRetryableError: code ``invalid_vector_store_config``.
    """
    row = await connection.fetchrow(
        'select "vectorStoreConfig"::text as vectors from namespace where id = $1', namespace_id
    )
    return None if row is None else parse_vector_store_config(msgspec.convert(row["vectors"], str | None))


def overlaid(job_config: DocumentConfig, config: DocumentConfig) -> DocumentConfig:
    """Return a document's options over those of its ingest job; metadata has rules of its own."""
    under, over = msgspec.structs.asdict(job_config), msgspec.structs.asdict(config)
    merged = {name: value if over[name] is None else over[name] for name, value in under.items()}
    return msgspec.structs.replace(DocumentConfig(**merged), metadata=None)


def extra_metadata(
    namespace_id: str,
    document_id: str,
    tenant_id: str | None,
    name: str | None,
    source: Source,
    job_config: DocumentConfig,
    config: DocumentConfig,
) -> dict[str, MetadataValue]:
    """Return what is stored with each chunk beside its own metadata; later entries win (domain.md §3.1)."""
    filename: Mapping[str, MetadataValue] = {"filename": name} if name and not isinstance(source, FileSource) else {}
    tenant: Mapping[str, MetadataValue] = {"tenantId": tenant_id} if tenant_id else {}
    return {
        **filename,
        **(job_config.metadata or {}),
        **(config.metadata or {}),
        **tenant,
        "namespaceId": namespace_id,
        "documentId": document_id,
    }


def parse_config(json_text: str | None) -> DocumentConfig:
    """Decode a ``config`` column; none is one without options.

    Raises:
        NonRetryableError: code ``invalid_document_config``.
    """
    with _explained("config"):
        found = None if json_text is None else msgspec.json.decode(json_text, type=DocumentConfig | None)
        return found or DocumentConfig()


@contextmanager
def _explained(what: str) -> Generator[None]:
    try:
        yield
    except msgspec.DecodeError as error:
        raise NonRetryableError(f"Invalid document {what}: {error}", code=f"invalid_document_{what}") from error
