import csv
import io

import pytest

from pipeline.runtime.io import DataError
from pipeline.text.delimiters import find_delimiter
from pipeline.text.incoming_bytes import read_lines

ROWS = [["id", "prompt", "prompt_nsfw"], ["1", "a dog, on grass; it runs", "0.1"], ["2", 'a "cat"\nsits | here', "0.2"]]


def test_a_packed_file_is_named_by_what_is_in_it(tmp_path):
    lines = ["prompt\n", "a dog\n"]
    delimiters = {name: find_delimiter(tmp_path / name, lambda path: iter(lines)) for name in ("a.tsv.gz", "a.csv.gz")}
    assert delimiters == {"a.tsv.gz": ("\t", 0), "a.csv.gz": (",", 0)}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_the_header_tells_the_separator_whatever_the_name(tmp_path, name, delimiter, ending):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=ending).writerows(ROWS)
    assert find_delimiter(tmp_path / name, lambda path: iter(text.getvalue().splitlines(keepends=True))) == (
        delimiter,
        0,
    )


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("a.csv", "prompt\na dog, a cat\n", (",", 0)),
        ("a.tsv", "prompt\na dog, a cat\n", ("\t", 0)),
        ("a.csv", "sep=;\nid;prompt\n1;a dog\n", (";", 1)),
        ("a.csv", 'id;"prompt, or query"\n1;a dog\n', (";", 0)),
        ("a.csv", "id;prompt;a, b\n1;a dog;3\n", (";", 0)),
    ],
)
def test_signs_in_names_and_a_line_of_excel_do_not_mislead(tmp_path, name, text, right):
    (tmp_path / name).write_text(text)
    assert find_delimiter(tmp_path / name, read_lines) == right


def test_a_header_that_two_signs_fit_is_asked_about(tmp_path):
    (tmp_path / "a.csv").write_text("id;x,prompt\n1;2,a dog\n")
    with pytest.raises(DataError, match="could be separated by ',' or ';'"):
        find_delimiter(tmp_path / "a.csv", read_lines)
