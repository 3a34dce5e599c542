"""The ``WorkersAi`` port on the ``AI`` binding."""

from __future__ import annotations

from durable.bridge import Ai, AiError
from orchestrator.meter import Meter
from steps.embeddings.workers_ai import WorkersAiError


class BoundWorkersAi:
    """Implements :class:`steps.embeddings.workers_ai.WorkersAi`."""

    def __init__(self, ai: Ai, meter: Meter) -> None:
        self._ai = ai
        self._meter = meter

    async def run(self, model: str, inputs_json: str) -> str:
        """See :class:`steps.embeddings.workers_ai.WorkersAi`."""
        self._meter.subrequests += 1
        try:
            return await self._ai.run(model, inputs_json)
        except AiError as error:
            raise WorkersAiError(str(error)) from None
