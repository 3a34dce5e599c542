"""How fast the first and the last tenth of a deletion were, from a few looks at it."""

from __future__ import annotations

from bench.deletion import Seen, rates


def test_each_tenth_is_bounded_by_the_looks_around_it() -> None:
    looks = [Seen(0, 0), Seen(1, 60), Seen(3, 120), Seen(5, 500), Seen(9, 880), Seen(10, 940), Seen(12, 1_000)]
    assert rates(looks, 1_000) == (120 / 3, 120 / 3)


def test_too_few_looks_say_nothing() -> None:
    assert rates([Seen(0, 0)], 1_000) == (0.0, 0.0)
    assert rates([], 1_000) == (0.0, 0.0)
