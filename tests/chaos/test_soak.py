"""How a soak judges memory."""

from __future__ import annotations

from tests.chaos.soak import FEW_SAMPLES, GROWTH, Sample, growth_of


def life(pid: int, *sizes_mb: float) -> list[Sample]:
    return [Sample(float(number), pid, size, 10) for number, size in enumerate(sizes_mb)]


def test_the_longest_life_counts_without_its_warm_up() -> None:
    killed = life(1, *([400.0] * 10), *([900.0] * 10))
    warm_up, level = [400.0] * 10, [700.0] * 30
    assert growth_of([*killed, *life(2, *warm_up, *level)]) == 1.0


def test_steady_growth_is_told() -> None:
    growth = growth_of(life(1, *(400.0 + 10 * number for number in range(40))))
    assert growth is not None
    assert growth > GROWTH


def test_a_short_life_says_nothing() -> None:
    assert growth_of([]) is None
    assert growth_of(life(1, *([400.0] * (FEW_SAMPLES - 1)))) is None
