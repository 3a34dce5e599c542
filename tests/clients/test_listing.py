"""Tables on screens of any width: words are never broken, and nothing is lost."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from orchestrator.cli.listing import Column, Listing
from orchestrator.cli.output import Output

AGE = Column("age", right=True)


def jobs() -> Listing:
    listing = Listing("job", "workflow", AGE, Column("took", right=True, spare=True), "empty", "note")
    listing.add("run_1", "import", "3 s", "1 ms", "", "")
    listing.add("run_2", "export-all", "12 s", "", "", Text("no_disk: the disk of the exporter is full", style="red"))
    return listing


def on_screen(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(jobs())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_a_wide_screen_shows_everything_in_one_line_per_row() -> None:
    assert on_screen(100) == [
        "job    workflow     age  took  note",
        "run_1  import       3 s  1 ms",
        "run_2  export-all  12 s        no_disk: the disk of the exporter is full",
    ]


def test_a_long_note_is_wrapped_between_words() -> None:
    assert on_screen(55)[2:] == [
        "run_2  export-all  12 s        no_disk: the disk of the",
        "                               exporter is full",
    ]


def test_a_narrow_screen_does_without_spare_columns_and_has_notes_below() -> None:
    assert on_screen(40) == [
        "job    workflow     age",
        "run_1  import       3 s",
        "run_2  export-all  12 s",
        "  no_disk: the disk of the exporter is",
        "  full",
    ]


@pytest.mark.parametrize("width", [1, 10, 23, 24, 31, 60])
def test_no_screen_is_too_narrow(width: int) -> None:
    assert "no_disk" in "".join("".join(on_screen(width)).split())


def test_wide_letters_and_markup_keep_their_places() -> None:
    listing = Listing("tag", "n")
    listing.add("日本", "1")
    listing.add("[b]", "2")
    console = Console(width=40, color_system=None)
    assert listing.whole(console).plain == "tag   n\n日本  1\n[b]   2"


def test_what_a_program_reads_has_one_line_per_row() -> None:
    out = io.StringIO()
    Output(out, io.StringIO(), as_json=False).say(jobs())
    assert out.getvalue().splitlines()[2] == "run_2  export-all  12 s        no_disk: the disk of the exporter is full"
