import json

import pytest
from rows import critique_row

from pipeline.io import DataError
from pipeline.ready import ready_dpo, ready_sft, replaced


def written(tmp_path, text, name="ready.jsonl"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "record",
    [
        {"query": "a dog", "prompt": "A dog runs."},
        ["a dog", "A dog runs."],
        {"messages": [
            {"role": "user", "content": 'Rewrite it.\n\nUser Query: "a dog"\n\nVideo Prompt:'},
            {"role": "assistant", "content": "A dog runs."},
        ]},
    ],
)  # fmt: skip
def test_each_released_shape_of_d_sft_is_read(tmp_path, record):
    (row,) = ready_sft(written(tmp_path, json.dumps([record]), "ready.json"))
    assert (row.query, row.prompt, row.arm, row.written_by.backend) == ("a dog", "A dog runs.", "ready", "file")


def test_released_pairs_of_vpo_are_read(tmp_path, laptop):
    record = {
        "messages": [{"role": "user", "content": "Query: a dog\nVideo Prompt:"}],
        "chosen": {"role": "assistant", "content": "good"},
        "rejected": {"role": "assistant", "content": "bad"},
    }
    (pair,) = ready_dpo(written(tmp_path, json.dumps(record)), laptop.dpo)
    assert (pair.query, pair.chosen, pair.rejected, pair.rule) == ("a dog", "good", "bad", "ready")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no records"),
        ('{"query": "a"', "neither a JSON list"),
        ('{"query": "a", "prompt": ""}', "record 1: expected query, prompt"),
        ("3", "record 1: expected an object"),
    ],
)
def test_a_file_that_is_not_a_ready_set_is_one_clear_error(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        list(ready_sft(written(tmp_path, text)))


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match="nowhere.jsonl: No such file"):
        list(ready_sft("nowhere.jsonl"))


def test_a_ready_set_makes_the_stage_before_it_idle_and_says_so():
    rows = [critique_row(query="one"), critique_row(query="two")]
    dropped = list(replaced(rows, "data/raw/mine.jsonl", times=2))
    assert [item.reason for item in dropped] == ["replaced"] * 4
    assert len({item.input_id for item in dropped}) == 4
