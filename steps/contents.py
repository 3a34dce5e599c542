"""Removes what documents have outside of the database's rows: vectors, images, ``chunks.json``, managed files.

Everything here may be repeated, and is complete when it returns: nothing is skipped because it failed (W-18).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator import RetryableError
from orchestrator.ports import Blobs
from steps.parser_service.leftovers import drop_batches
from steps.platform.document_deletion import Contents, unneeded_keys
from steps.platform.document_input import load_vector_store_config
from steps.services import services
from steps.vectors import VectorStore
from steps.vectors.factory import vector_store_for

#: Documents whose ids begin alike lie next to each other in the bucket: one list then finds the images of all of them.
#: With less in common there would be too many others in between.
SHARED_ID_CHARS = 8
#: Keys of one list or delete (domain.md §4).
OBJECTS_PER_CALL = 1_000


async def store_of(namespace_id: str, tenant_id: str | None) -> VectorStore:
    """Return the vector store of a namespace and tenant.

    Raises:
        NonRetryableError: see :func:`steps.vectors.factory.vector_store_for`.
    """
    current = services()
    database = current.database()
    config = await load_vector_store_config(database, namespace_id)
    return vector_store_for(config, current.settings.vectors, namespace_id, tenant_id, current.http, database)


async def remove_contents(namespace_id: str, documents: Sequence[Contents]) -> Mapping[str, Exception]:
    """Remove the contents of several documents; return those whose vectors could not be removed, with the reason.

    Args:
        namespace_id: their namespace.
        documents: whose contents go.
    """
    failed: dict[str, Exception] = {}
    by_tenant: dict[str | None, list[str]] = {}
    for document in documents:
        by_tenant.setdefault(document.tenant_id, []).append(document.id)
    for tenant_id, document_ids in by_tenant.items():
        failed |= await (await store_of(namespace_id, tenant_id)).delete_documents(document_ids)
    await remove_objects(namespace_id, [document for document in documents if document.id not in failed])
    return failed


async def remove_objects(namespace_id: str, documents: Sequence[Contents]) -> None:
    """Remove the objects of documents: first the images, then what they were made of and into.

    Also what the parser service has left of them in Redis, if their runs could not remove it.
    """
    if not documents:
        return
    current = services()
    ids = sorted(document.id for document in documents)
    await drop_batches(ids)
    await remove_images(current.images, namespace_id, ids)
    managed = [document.key for document in documents if document.key is not None]
    keys = [f"namespaces/{namespace_id}/documents/{document_id}/chunks.json" for document_id in ids]
    if managed:
        keys += await unneeded_keys(current.database(), managed, ids)
    for start in range(0, len(keys), OBJECTS_PER_CALL):
        await current.blobs.delete(*keys[start : start + OBJECTS_PER_CALL])


async def remove_images(images: Blobs, namespace_id: str, document_ids: Sequence[str]) -> None:
    """Remove every image of these documents.

    Args:
        images: the bucket.
        namespace_id: the documents' namespace.
        document_ids: in their order.
    """
    folder = f"namespaces/{namespace_id}/documents/"
    common = _common_prefix(document_ids[0], document_ids[-1])
    if len(document_ids) == 1 or len(common) < SHARED_ID_CHARS:
        for document_id in document_ids:
            await remove_prefix(images, f"{folder}{document_id}/")
        return
    # From right before the first document's own to right behind the last one's.
    wanted, after, last = frozenset(document_ids), folder + document_ids[0], f"{folder}{document_ids[-1]}/\uffff"
    while keys := await images.list(folder + common, after=after, limit=OBJECTS_PER_CALL):
        after = keys[-1]
        doomed = [key for key in keys if key.removeprefix(folder).partition("/")[0] in wanted]
        if doomed:
            await images.delete(*doomed)
        if after > last:
            return


async def remove_prefix(blobs: Blobs, prefix: str) -> None:
    """Remove every object whose key begins so.

    Raises:
        RetryableError: code ``objects_not_deleted``: the bucket has said that it deleted what it still lists.
    """
    before = ""
    while keys := await blobs.list(prefix, limit=OBJECTS_PER_CALL):
        if keys[0] == before:
            raise RetryableError(
                f"Objects are still there after they were deleted: {before}", code="objects_not_deleted"
            )
        await blobs.delete(*keys)
        before = keys[0]


def _common_prefix(first: str, last: str) -> str:
    """Return what the first and the last of sorted texts begin with, and so all of them."""
    length = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:length]
