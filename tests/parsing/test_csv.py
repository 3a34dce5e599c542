"""CSV and TSV."""

from __future__ import annotations

import pytest

from steps.parsing.limits import LINE_CHARS_MAX
from tests.parsing.support import MemoryReader, error_of, read_all, read_texts


def test_rows_become_labelled_lines() -> None:
    text = 'name,city\nAda,"London, UK"\nGrace,"New\nYork"\n'
    assert read_texts(text, "a.csv") == ["name: Ada\ncity: London, UK\n\nname: Grace\ncity: New\nYork"]


def test_columns_are_named_in_every_chunk() -> None:
    text = "key,value\n" + "".join(f"key{n},value{n}\n" for n in range(20))
    texts = read_texts(text, "a.csv", chunk_size=64)
    assert len(texts) == 10
    assert texts[3] == "key: key6\nvalue: value6\n\nkey: key7\nvalue: value7"


@pytest.mark.parametrize(("delimiter", "name"), [(";", "a.csv"), ("\t", "a.csv"), ("|", "a.csv"), ("\t", "a.tsv")])
def test_the_delimiter_is_detected(delimiter: str, name: str) -> None:
    text = f"a{delimiter}b\n1,5{delimiter}2\n"
    assert read_texts(text, name) == ["a: 1,5\nb: 2"]


def test_ragged_rows_and_unnamed_columns() -> None:
    assert read_texts("a,,c\n1,2\n\n1,,3,4\n", "a.csv") == ["a: 1\ncolumn 2: 2\n\na: 1\nc: 3\ncolumn 4: 4"]


def test_a_header_alone_is_shown() -> None:
    assert read_texts("id,name\n", "a.csv") == ["id, name"]


def test_a_stray_quote_inside_a_field_is_text() -> None:
    assert read_texts('size,name\n5" pipe,x\n6",y\n', "a.csv") == ['size: 5" pipe\nname: x\n\nsize: 6"\nname: y']


def test_fields_beyond_the_library_limit() -> None:
    long = "word " * 60_000
    chunks = read_all(f'a\n"{long}"\n'.encode(), "a.csv")
    assert sum(len(chunk.text.split()) for chunk in chunks) == 60_001


def test_a_quote_that_is_never_closed_is_an_error() -> None:
    error = error_of(b'a,b\n1,2\n3,"open\n4,5\n', "a.csv")
    assert error.error_code == "invalid_csv"
    assert str(error) == "The CSV record 3 has a quote that is never closed at byte 8."
    assert error.details == {"offset": 8}


def test_a_quote_that_is_never_closed_is_found_in_linear_time() -> None:
    reader = MemoryReader(b'a,b\n"' + b"1,2\n" * 5_000_000)
    assert error_of(reader, "a.csv").error_code == "invalid_csv"
    assert reader.bytes_read < 2 * LINE_CHARS_MAX


def test_a_huge_header_is_an_error() -> None:
    assert error_of(b"name," * 20_000 + b"\n1\n", "a.csv").error_code == "document_too_complex"
