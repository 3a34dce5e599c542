"""The ``WorkersAi`` port on the ``AI`` binding."""

from __future__ import annotations

from durable.bridge import Ai, AiError
from steps.embeddings.workers_ai import WorkersAiError


class BoundWorkersAi:
    """Implements :class:`steps.embeddings.workers_ai.WorkersAi`."""

    def __init__(self, ai: Ai) -> None:
        self._ai = ai

    async def run(self, model: str, inputs_json: str) -> str:
        """See :class:`steps.embeddings.workers_ai.WorkersAi`."""
        try:
            return await self._ai.run(model, inputs_json)
        except AiError as error:
            raise WorkersAiError(str(error)) from None
