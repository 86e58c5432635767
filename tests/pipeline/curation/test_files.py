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
