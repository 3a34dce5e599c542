"""Values in the types that a namespace's attributes have."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steps.vectors import MetadataValue
from steps.vectors.attribute_types import fitted


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("string", 2021, {"x": "2021"}),
        ("string", 2021.0, {"x": "2021"}),
        ("string", 0.5, {"x": "0.5"}),
        ("string", True, {"x": "true"}),
        ("string", ["a"], {"x_strings": ["a"]}),
        ("int", "2020", {"x": 2020}),
        ("int", "02020", {"x_string": "02020"}),
        ("int", "soon", {"x_string": "soon"}),
        ("int", 3.0, {"x": 3}),
        ("int", 3.5, {"x_float": 3.5}),
        ("int", True, {"x_bool": True}),
        ("int", 2**63, {"x_float": 2**63}),
        ("uint", 5, {"x": 5}),
        ("uint", -5, {"x_int": -5}),
        ("float", 5, {"x": 5.0}),
        ("float", "0.25", {"x": 0.25}),
        ("float", "1e5", {"x_string": "1e5"}),
        ("float", 2**53 + 1, {"x_int": 2**53 + 1}),
        ("bool", "true", {"x": True}),
        ("bool", "yes", {"x_string": "yes"}),
        ("bool", 1, {"x_int": 1}),
        ("[]string", "a", {"x": ["a"]}),
        ("[]string", 7, {"x": ["7"]}),
        ("datetime", "2026-01-01", {"x": "2026-01-01"}),
        ("datetime", 2026, {"x_int": 2026}),
    ],
)
def test_a_value_in_its_attributes_type(kind: str, value: MetadataValue, stored: dict[str, MetadataValue]) -> None:
    (found,) = fitted([{"x": value}], {"x": kind})
    assert found == stored
    assert [type(item) for item in found.values()] == [type(item) for item in stored.values()]


def test_a_name_that_is_taken_is_not_written_over() -> None:
    rows = fitted([{"x": "soon", "x_string": "mine"}], {"x": "int", "x_string": "string"})
    assert rows == [{"x_string_string": "soon", "x_string": "mine"}]
    assert fitted([{"x": "soon"}], {"x": "int", "x_string": "int"}) == [{"x_string_string": "soon"}]


def test_a_new_attribute_has_the_type_of_its_first_value() -> None:
    assert fitted([{"x": 1}, {"x": "2"}, {"x": "two"}], {}) == [{"x": 1}, {"x": 2}, {"x_string": "two"}]


VALUES = st.sampled_from(["", "7", "0.5", "true", "x", 7, -1, 2**60, 2**64, 0.5, 7.0, True, ["a"], []])
ROWS = st.lists(st.dictionaries(st.sampled_from(["a", "a_int", "a_string", "a_string_string"]), VALUES), max_size=5)


@given(ROWS)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_value_is_kept_and_every_attribute_has_one_type(rows: list[dict[str, MetadataValue]]) -> None:
    stored = fitted(rows, {})
    assert [len(row) for row in stored] == [len(row) for row in rows]
    kinds: dict[str, set[type]] = {}
    for row in stored:
        for name, value in row.items():
            is_wide = type(value) is int and not -(2**63) <= value < 2**63
            kinds.setdefault(name, set()).add(float if is_wide else type(value))
    assert all(len(found) == 1 for found in kinds.values())
    assert fitted(stored, {}) == stored
