import pytest

from pipeline.curation.files import guard_file
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
