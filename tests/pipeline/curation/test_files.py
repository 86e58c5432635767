import csv
import gzip

import polars as pl
import pytest

from pipeline.curation.files import FrameTable, guard_file, open_table
from pipeline.runtime.io import DataError


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\n")
    with pytest.raises(DataError, match="it changed while it was read"), guard_file(path) as digest:
        assert len(digest) == 64
        path.write_text("a\nb\n")


def test_a_file_that_is_gone_after_it_was_read_is_noticed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a\n")
    with pytest.raises(DataError, match="it changed while it was read"), guard_file(path):
        path.unlink()


def read_all(path):
    table = open_table(path)
    if isinstance(table, FrameTable):
        return table.names, [row for frame in table.frames(table.names) for row in frame.to_dicts()]
    return table.names, list(table.records(table.names))


def test_a_record_that_does_not_fit_is_a_line_that_says_why(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,n\na dog,1\nb\n")
    assert read_all(path) == (["text", "n"], [{"text": "a dog", "n": "1"}, "line 3: 1 fields where the header has 2"])


def test_fields_are_parted_by_the_sign_that_the_file_uses(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text;n\na dog, running;1\n")
    assert read_all(path) == (["text", "n"], [{"text": "a dog, running", "n": "1"}])


def test_a_file_of_bare_strings_has_the_column_text(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('["a dog", null]')
    assert read_all(path) == (["text"], [{"text": "a dog"}, "item 2: null, not a string or an object"])


def test_parquet_comes_in_frames_with_only_the_columns_asked_for(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame({"text": ["a dog"], "n": [1]}).write_parquet(path)
    table = open_table(path)
    assert isinstance(table, FrameTable)
    assert [frame.columns for frame in table.frames(["n"])] == [["n"]]


def test_a_file_that_is_not_there_is_told_with_the_way_out(tmp_path):
    with pytest.raises(DataError, match="no such file; set queries.path to a file"), guard_file(tmp_path / "a.txt"):
        pass


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.doc", "x", "its name must end in .csv, .json, .jsonl, .ndjson, .parquet, .tsv, .txt, .xlsx"),
        ("a.txt", "", "an empty file; it holds no queries"),
        ("a.parquet.gz", "x", "unpack it first (`gunzip`): .parquet is packed inside already"),
        ("a.xlsx.gz", "x", "unpack it first (`gunzip`): .xlsx is packed inside already"),
        ("a.json", '{"a": 1}', "where a list of strings or objects belongs"),
        ("a.json", '["a"]\n["b"]', "one value a line is JSONL: name it .jsonl"),
        ("a.jsonl", '"a"\n\n{', "a.jsonl:3: not JSON"),
        ("a.txt", '{"query": "a"}\n', "it holds JSON: name it .jsonl (one value a line) or .json"),
        ("a.txt", "\n[\n", "it holds JSON"),
        ("a.txt", 'id,"Prompt"\n1,a\n', "its first line is the header of a table: name it .csv or .tsv"),
        ("a.csv", 'text\na\n"b\n', "broken CSV in the row that starts at line 3"),
        ("a.csv", "text\ra\rb\r", "a line ends in a carriage return alone (line 1), as old Macs wrote it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_place_and_the_way_out(tmp_path, name, text, fault):
    (tmp_path / name).write_bytes(text.encode())
    with pytest.raises(DataError) as raised:
        read_all(tmp_path / name)
    assert raised.value.message.startswith(str(tmp_path / name)) and fault in raised.value.message


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="a folder; queries.path must name one file in it"):
        open_table(tmp_path)


@pytest.mark.parametrize(
    "first", ["a dog, running prompt", "query", "a prompt; text of a very long query that goes on", "text"]
)
def test_a_query_is_no_header(tmp_path, first):
    (tmp_path / "a.txt").write_text(f"{first}\nb\rc\n\n")
    assert [row["text"] for row in read_all(tmp_path / "a.txt")[1]][:3] == [first, "b", "c"]


def test_lines_of_json_may_be_packed_begin_with_a_mark_and_leave_lines_empty(tmp_path):
    (tmp_path / "a.ndjson.gz").write_bytes(gzip.compress('\ufeff{"text": "a"}\n\n{"text": "b"}\n'.encode()))
    assert read_all(tmp_path / "a.ndjson.gz")[1] == [{"text": "a"}, {"text": "b"}]


def test_a_query_longer_than_csv_allows_by_itself_is_read_and_the_limit_is_put_back(tmp_path):
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("text\n" + "a" * 200_000 + "\n\nb\n")
    assert [len(row["text"]) for row in read_all(tmp_path / "a.csv")[1]] == [200_000, 1]
    assert csv.field_size_limit() == before


def test_a_row_of_a_sheet_with_an_empty_cell_stays_and_an_empty_row_goes(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["text", 7], ["a", None], [None, None], [None, "b"], ["c", 1]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    names, rows = read_all(tmp_path / "a.xlsx")
    assert names == ["text", "7"] and [[*row.values()] for row in rows] == [["a", None], [None, "b"], ["c", 1]]
