"""A fake of the outside world that remembers what was done to it."""

from __future__ import annotations

import collections


class Effects:
    """What jobs did to the outside, as a service with idempotency keys sees it.

    Steps reach it as ``current_step().services``, or as the attribute ``effects`` of services of your own.
    """

    def __init__(self) -> None:
        self._answers: dict[str, object] = {}
        #: What was done, in order; repetitions with a key that was used before are not among it.
        self.applied: list[str] = []

    def apply(self, what: str, *, key: str | None = None, answer: object = None) -> object:
        """Do something, and return the service's answer.

        Args:
            what: names the effect, such as ``charge order 7``.
            key: an idempotency key. One that was used before does nothing, and gives the answer of the first time.
            answer: what the service answers.
        """
        if key is not None and key in self._answers:
            return self._answers[key]
        self.applied.append(what)
        if key is not None:
            self._answers[key] = answer
        return answer

    def repeated(self) -> dict[str, int]:
        """Return what was done more than once, and how often."""
        return {what: count for what, count in collections.Counter(self.applied).items() if count > 1}
