"""The demo data of new namespaces: files whose chunks and embeddings were computed beforehand (domain.md §2.10)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class DemoTemplate(msgspec.Struct, frozen=True):
    """Files that make a demo.

    Attributes:
        name: what its ingest job is called.
        folder: of the assets.
        files: their names.
    """

    name: str
    folder: str
    files: tuple[str, ...]

    def items(self, base_url: str) -> list[dict[str, str]]:
        """Return the files as the items of a BATCH payload."""
        return [
            {"type": "FILE", "fileUrl": f"{base_url}/{self.folder}/{name}", "fileName": name} for name in self.files
        ]


TEMPLATES: Mapping[str, DemoTemplate] = {
    "academic-research": DemoTemplate("Academic Research", "academic-papers", ("1706.03762v7.pdf", "1810.04805v2.pdf")),
    "financial-reports": DemoTemplate(
        "Financial Reports",
        "financial-reports",
        tuple(f"nvidia-2025-q{quarter}.pdf" for quarter in range(1, 5)),
    ),
    "technical-documentation": DemoTemplate(
        "Technical Documentation", "technical-documentation", ("chat.md", "error-codes.md", "rate-limits.md")
    ),
}


class DemoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the demo's files are.

    Attributes:
        base_url: ``DEMO_ASSETS_URL``.
    """

    base_url: str = "https://assets.agentset.ai/demos"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> DemoSettings:
        """Pick the settings out of the environment's variables; empty counts as unset."""
        url = env.get("DEMO_ASSETS_URL", "").rstrip("/")
        return cls(base_url=url) if url else cls()


def chunks_url(file_url: str) -> str:
    """Return where a demo file's chunks are: its address with ``-chunks.json`` for the extension."""
    return file_url.rpartition(".")[0] + "-chunks.json"
