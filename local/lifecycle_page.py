"""``python -m local.lifecycle_page``: writes ``docs/lifecycle.md`` from the engine's own table of transitions."""

from __future__ import annotations

from pathlib import Path

from orchestrator.lifecycle import TERMINAL, TRANSITIONS, JobStatus

PAGE = Path(__file__).resolve().parent.parent / "docs" / "lifecycle.md"

_MEANING = {
    JobStatus.QUEUED: "recorded; its id is on the way through the queue. Not picked up in 15 s, it sends itself again.",
    JobStatus.WAITING: "starts later (`delay`), or waits for a permit of its lane; costs nothing.",
    JobStatus.RUNNING: "a slice works on it, or is due at once.",
    JobStatus.SUSPENDED: "waits for a timer, an event, a token or children; costs nothing.",
    JobStatus.PAUSED: "rests until somebody resumes it: on request, or because its code no longer fits its journal.",
    JobStatus.CANCELLING: "asked to stop; its `on_cancel` hook runs.",
    JobStatus.COMPLETED: "ended with a result. May be retried when steps of it gave up.",
    JobStatus.FAILED: "ended with an error, after its `on_failure` hook. May be retried.",
    JobStatus.CANCELLED: "stopped on request. May be retried.",
    JobStatus.EXPIRED: "did not start within its time to live. May be retried.",
}


def page() -> str:
    """Return the page."""
    lines = [
        "# The life of a job",
        "",
        "Generated from `orchestrator/lifecycle.py` by `python -m local.lifecycle_page`; a test keeps them together.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> queued",
        "    [*] --> waiting",
        "    [*] --> running",
    ]
    for current in JobStatus:
        lines += [f"    {current} --> {following}" for following in sorted(TRANSITIONS[current])]
    lines += [f"    {status} --> [*]" for status in JobStatus if status in TERMINAL]
    lines += ["```", "", "| status | meaning | may become |", "|---|---|---|"]
    for status in JobStatus:
        following = ", ".join(f"`{item}`" for item in sorted(TRANSITIONS[status])) or "—"
        name = f"**`{status}`**" if status in TERMINAL else f"`{status}`"
        lines.append(f"| {name} | {_MEANING[status]} | {following} |")
    lines += [
        "",
        "Statuses in bold are terminal: the outcome is final, parents and the catalog are told, and no alarm is left.",
        "Only a retry, asked for by somebody, makes such a job run again.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
