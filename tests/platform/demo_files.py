"""The chunk files of the demo: made up here, in the original's form, with the scene's small vectors."""

from __future__ import annotations

import json

from steps.demo_templates import TEMPLATES
from tests.embeddings.stub_server import Received, Reply
from tests.ingestion.embedder import vector
from tests.platform.picture import Row


def chunk_file(folder: str, name: str) -> Row:
    """Return what is known of a demo file. Those of paged formats say how many pages they have."""
    texts = [f"{folder}: part {number} of {name}." for number in range(35 if name.endswith(".pdf") else 3)]
    paged = name.endswith(".pdf")
    return {
        "metadata": {"filename": name, "namespaceId": "template", "documentId": "template"},
        "total_chunks": len(texts),
        "total_characters": sum(map(len, texts)),
        **({"total_pages": 15} if paged else {}),
        "total_tokens": 7 * len(texts),
        "document_properties": {"fileSize": 1000, "mimeType": "application/pdf" if paged else "text/markdown"},
        "chunks": [
            {
                "id": f"{name}-{number:04}",
                "text": text,
                "metadata": {"sequence_number": number, **({"page_number": 1 + number // 3} if paged else {})},
                "embedding": vector(text),
            }
            for number, text in enumerate(texts)
        ],
    }


FILES = {
    f"/demos/{template.folder}/{name.rpartition('.')[0]}-chunks.json": chunk_file(template.folder, name)
    for template in TEMPLATES.values()
    for name in template.files
}


def serve(request: Received) -> Reply:
    """Answer a request for a chunk file."""
    found = FILES.get(request.path)
    if found is None:
        return Reply(404, b"not found")
    return Reply(200, json.dumps(found).encode(), {"content-type": "application/json"})
