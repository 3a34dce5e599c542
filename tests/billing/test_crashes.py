"""The metering job stops at any write or database operation: Stripe counts what it counts undisturbed (scenario 12)."""

from __future__ import annotations

import msgspec
import pytest

from tests.billing.stage import Play, Row, Stage


class Left(msgspec.Struct):
    result: object
    counted: list[tuple[str, str, str]]
    ledger: dict[str, Row]


class Played(msgspec.Struct):
    left: Left
    writes: int
    operations: int
    crashes: int


def run(
    stage: Stage, *, always_replay: bool = False, crash_at: tuple[int, ...] = (), before: int = 0, after: int = 0
) -> Played:
    async def body(play: Play) -> Played:
        await play.add_documents("nsa", [1.5] * 130)
        await play.add_documents("nsb", [0.25, 3.0])
        result = await play.meter()
        ledger = {
            key: {name: value for name, value in row.items() if name not in ("atS", "begunMs")}
            for key, row in (await play.ledger()).items()
        }
        assert {reason for _, reason in stage.stripe.thrown_away} <= {"duplicate"}
        left = Left(result, sorted(stage.stripe.counted), ledger)
        return Played(left, play.world.writes, play.database.operations, play.world.crashes)

    return stage.play(
        body,
        always_replay=always_replay,
        crash_at=crash_at,
        crash_before_operation=before,
        crash_after_operation=after,
    )


@pytest.fixture
def expected(stage: Stage) -> Played:
    undisturbed = run(stage)
    assert len(undisturbed.left.counted) == len(undisturbed.left.ledger) == 132
    assert {row["done"] for row in undisturbed.left.ledger.values()} == {True}
    return undisturbed


def test_a_crash_before_every_write(stage: Stage, expected: Played) -> None:
    assert expected.writes > 15
    for write in range(1, expected.writes + 1):
        found = run(stage, crash_at=(write,))
        assert found.crashes >= 1
        assert found.left == expected.left, f"crashed before write {write}"


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_every_database_operation(stage: Stage, expected: Played, side: str) -> None:
    for number in range(1, expected.operations + 1):
        found = run(stage, before=number) if side == "before" else run(stage, after=number)
        assert found.crashes >= 1
        assert found.left == expected.left, f"crashed {side} operation {number}"


def test_replay_alone_changes_nothing(stage: Stage, expected: Played) -> None:
    assert run(stage, always_replay=True).left == expected.left
