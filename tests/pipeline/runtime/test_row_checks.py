"""Rows against themselves and their file."""

from pathlib import Path

import pytest

from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.row_checks import RowChecks, find_places_of_rows, find_repeated_names, read_split
from schemas.base import Prompt, Row
from schemas.critique import Critique
from schemas.d_text import DText
from schemas.refine import Refine
from schemas.render import Render
from schemas.reward import Reward
from schemas.stage import row_classes
from tests.support.rows import critique_row, prompts
from tests.support.small_project import pair, queries

ONE, TWO = prompts(2)


def line(item: Row, old: str = "", new: str = "") -> bytes:
    """Return the JSON of a row, after a change by hand."""
    text = item.model_dump_json()
    assert old in text
    return text.replace(old, new, 1).encode() + b"\n"


def repeated(row: type[Row], text: bytes) -> str:
    return find_repeated_names(row.model_validate_json(text), text, find_places_of_rows(row))


@pytest.mark.parametrize(
    "text",
    [
        line(ONE, '"prompt":"p0"', '"prompt":"a","prompt":"p0"'),
        line(ONE, '"prompt":"p0"', '"prompt" : "a", "prompt" : "p0"'),
        line(ONE, '"prompt":"p0"', '"prompt" \t\r:"a","prompt":"p0"'),
        line(ONE, '"prompt":"p0"', '"pro\\u006dpt":"a","prompt":"p0"'),
        # as many names as a whole row has: one that has a default is left out for it
        line(ONE, '"round":0,', '"prompt":"a",'),
        line(ONE, '"prompt":"p0"', '"prompt":"a: \\":","prompt":"p0"'),
    ],
)
def test_a_name_that_stands_twice_is_found_however_it_is_written(text):
    assert repeated(Prompt, text) == "prompt"


def test_a_name_that_stands_twice_in_a_row_inside_a_row_is_found():
    assert repeated(Prompt, line(ONE, '"backend":', '"backend":"x","backend":')) == "backend"


@pytest.mark.parametrize("text", ['say "prompt": and "query":', 'a "b" : c', "at 12:30: a cat", '":":":'])
def test_signs_in_a_text_are_no_names(text):
    row = critique_row(query=text, prompt=text)
    assert repeated(Critique, line(row)) == ""
    assert repeated(Critique, line(row, '"split":', '"split" : ')) == ""


def test_every_row_inside_a_row_is_counted():
    assert {name: find_places_of_rows(row) for name, row in row_classes().items() if name in ("refine", "reward")} == {
        "refine": ["written_by", "critique_by", "votes", "refined_by", "verified_by"],
        "reward": ["answers", "dims", "scored_by"],
    }
    for row in row_classes().values():  # else their names would have to be counted by recursion
        for place in find_places_of_rows(row):
            inner = [part for part in (row.model_fields[place].annotation,) if isinstance(part, type)]
            assert all(find_places_of_rows(part) == [] for part in inner if issubclass(part, Row))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/queries/dpo.jsonl", "dpo"),
        ("data/queries/street.jsonl", None),
        ("data/sft/critique.jsonl", "sft"),
        ("data/tiny/dpo/rollout.jsonl", "dpo"),
        ("data/eval/fewshot.jsonl", "test"),
        ("data/eval/test/dpo/rollout.jsonl", "test"),
        ("data/eval/street/dpo/rollout.jsonl", None),
        ("rows.jsonl", None),
    ],
)
def test_the_place_of_a_file_tells_its_split(path, split):
    assert read_split(Path(path)) == split


def test_rows_of_another_lane_are_refused():
    assert RowChecks(Path("data/sft/rollout.jsonl"), Prompt).find_fault(ONE) == "split: dpo, in a file of sft"
    assert RowChecks(Path("data/dpo/rollout.jsonl"), Prompt).find_fault(ONE) == ""


def test_a_pair_with_exchanged_sides_is_refused_where_it_is_read(tmp_path):
    good = DText(**pair(queries("dpo")[0], "text"))
    bad = good.model_copy(update={"chosen": good.rejected, "rejected": good.chosen})
    (tmp_path / "d_text.jsonl").write_bytes(line(good) + line(bad))
    with pytest.raises(DataError, match=r"d_text.jsonl:2: pair_id: not that of its texts"):
        list(read_rows(tmp_path / "d_text.jsonl", DText))


def test_rows_without_texts_have_nothing_to_compare():
    assert RowChecks(Path("x.parquet"), Reward).has_split is False
    assert find_places_of_rows(Render) == ["written_by", "rendered_by"] and issubclass(Refine, Critique)
