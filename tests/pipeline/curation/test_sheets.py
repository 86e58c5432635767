import builtins

import openpyxl
import pytest

from pipeline.curation.sheets import read_sheet
from pipeline.runtime.io import DataError

ROWS = [["id", "prompt"], [1, "a dog on grass"], [2, None], [None, None], [3, "a cat"]]


def write(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_the_only_sheet_with_rows_is_read_and_empty_rows_are_passed(tmp_path):
    path = write(tmp_path / "a.xlsx", [], ROWS)
    assert list(read_sheet(path)) == [("id", "prompt"), (1, "a dog on grass"), (2, None), (3, "a cat")]


def test_a_formula_counts_by_the_value_that_was_saved_with_it(tmp_path):
    path = write(tmp_path / "a.xlsx", [*ROWS[:2], [4, "=1+1"]])  # openpyxl saves no value beside it
    assert list(read_sheet(path))[-1] == (4, None)


@pytest.mark.parametrize(
    ("sheets", "says"),
    [
        ([ROWS, ROWS], "2 sheets hold rows"),
        ([[*ROWS, [4, "a", "beside"]]], "row 6 has a value beside the 2 columns"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path, sheets, says):
    with pytest.raises(DataError, match=says):
        list(read_sheet(write(tmp_path / "a.xlsx", *sheets)))


def test_a_broken_file_is_one_line(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(write(tmp_path / "b.xlsx", ROWS).read_bytes()[:900])
    with pytest.raises(DataError, match="not a whole .xlsx file") as refused:
        list(read_sheet(tmp_path / "a.xlsx"))
    assert "\n" not in str(refused.value)


def test_without_the_extra_the_person_is_told_its_name(tmp_path, monkeypatch):
    path, real = write(tmp_path / "a.xlsx", ROWS), builtins.__import__

    def without(name, *rest):
        if name == "openpyxl":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'vpo\[xlsx\]', or save it as CSV"):
        list(read_sheet(path))
