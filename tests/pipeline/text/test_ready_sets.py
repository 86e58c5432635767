import json

import pytest
from click.testing import CliRunner

from pipeline.curation.ready_queries import read_ready_answer
from pipeline.d_sft import main as d_sft
from pipeline.runtime.io import DataError
from pipeline.text.preference import drop_undecided
from pipeline.text.ready_sets import drop_replaced, read_ready_dpo, read_ready_sft
from schemas.base import content_id
from tests.support.rows import critique_row


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
    (row,) = read_ready_sft(written(tmp_path, json.dumps([record]), "ready.json"), False, read_ready_answer).rows
    assert (row.query, row.prompt, row.arm, row.written_by.backend) == ("a dog", "A dog runs.", "ready", "file")


def test_released_pairs_of_vpo_are_read(tmp_path, laptop):
    record = {
        "messages": [{"role": "user", "content": "Query: a dog\nVideo Prompt:"}],
        "chosen": {"role": "assistant", "content": "good"},
        "rejected": {"role": "assistant", "content": "bad"},
    }
    (pair,) = read_ready_dpo(written(tmp_path, json.dumps(record)), laptop.dpo, False, read_ready_answer).rows
    assert (pair.query, pair.chosen, pair.rejected, pair.rule) == ("a dog", "good", "bad", "ready")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no records"),
        ('{"query": "a"', "neither a JSON list"),
        ('{"query": "a", "prompt": "b"}\n{"query": "a"', "ready.jsonl:2: neither a JSON list"),
        ('{"messages": 3}', "record 1: messages is a number where a list"),
        ('{"query": "-ar 16:9", "prompt": "b"}', "record 1: nothing is left"),
        ('{"query": "a", "prompt": ""}', "record 1: the assistant turn in prompt is empty"),
        ("3", "record 1: a number; expected an object"),
    ],
)
def test_a_file_that_is_not_a_ready_set_is_one_clear_error(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        list(read_ready_sft(written(tmp_path, text), False, read_ready_answer))


def test_a_missing_file_is_named():
    with pytest.raises(DataError, match="nowhere.jsonl: No such file"):
        list(read_ready_sft("nowhere.jsonl", False, read_ready_answer))


def test_a_ready_set_makes_the_stage_before_it_idle_and_says_so():
    rows = [critique_row(query="one"), critique_row(query="two")]
    dropped = list(drop_replaced(rows, "data/raw/mine.jsonl", times=2))
    assert [item.reason for item in dropped] == ["replaced"] * 4
    assert len({item.input_id for item in dropped}) == 4


def test_a_query_has_the_id_that_stage_queries_gives_it(tmp_path):
    (row,) = read_ready_sft(
        written(tmp_path, '{"query": " a  dog -ar 16:9", "prompt": "A dog."}'), False, read_ready_answer
    ).rows
    assert (row.query, row.query_id) == ("a dog", content_id("a dog"))


def test_one_pair_a_line_is_read_and_only_a_newline_ends_a_line(tmp_path):
    rows = list(
        read_ready_sft(
            written(tmp_path, '["a dog", "A dog\u2028runs."]\n["a cat", "A cat."]\n'), False, read_ready_answer
        ).rows
    )
    assert [row.query for row in rows] == ["a dog", "a cat"]


def test_several_prompts_for_one_query_are_numbered(tmp_path):
    lines = "\n".join(json.dumps({"query": "a dog", "prompt": prompt}) for prompt in ("One.", "Two."))
    assert [row.sample for row in read_ready_sft(written(tmp_path, lines), False, read_ready_answer).rows] == [0, 1]


def test_a_stage_takes_a_ready_set_with_several_prompts_for_one_query(tmp_path, root, vpo_home):
    lines = "\n".join(json.dumps({"query": "a dog", "prompt": prompt}) for prompt in ("One.", "Two."))
    ready = written(tmp_path, lines)
    text = (root / "params.yaml").read_text().replace("d_sft:\n  path:", f"d_sft:\n  path: {ready}")
    params, out = written(tmp_path, text, "params.yaml"), tmp_path / "data/sft/d_sft.jsonl"
    done = CliRunner().invoke(d_sft, ["critique.jsonl", "refine.jsonl", str(out), "--params", params])
    assert done.exit_code == 0, done.output
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"score_chosen": "high"},
        {"score_chosen": True},
        {"score_rejected": float("nan")},
        {"chosen": None},
        {"safety": "no"},
    ],
)
def test_a_wrong_value_of_a_ready_pair_is_one_clear_error(tmp_path, laptop, change):
    record = {"query": "a dog", "chosen": "good", "rejected": "bad"} | change
    with pytest.raises(DataError, match="record 1: "):
        list(read_ready_dpo(written(tmp_path, json.dumps(record)), laptop.dpo, False, read_ready_answer))


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [
        ("chosen_score", "rejected_score"), ("chosen-rating", "rejected-rating"), ("chosen_reward", "rejected_reward"),
        ("rating_chosen", "rating_rejected"), ("chosen_avg_rating", "rejected_avg_rating"), ("Chosen Score",
        "Rejected Score"),
        ("ScoreChosen", "ScoreRejected"),
    ],
)  # fmt: skip
def test_scores_are_found_by_their_words(tmp_path, laptop, chosen, rejected):
    record = {"query": "a dog", "chosen": "good", "rejected": "bad", "chosen_length": 9, chosen: 1, rejected: 3.5}
    (row,) = read_ready_dpo(written(tmp_path, json.dumps(record)), laptop.dpo, False, read_ready_answer).rows
    assert (row.score_chosen, row.score_rejected) == (1, 3.5)


def test_of_several_kinds_of_scores_those_count_that_speak_least_for_the_labels(tmp_path, laptop):
    record = {"query": "a dog", "chosen": "good", "rejected": "bad"}
    record |= {"chosen_rating": 5, "rejected_rating": 1, "chosen_reward": 0.1, "rejected_reward": 0.7}
    (row,) = read_ready_dpo(written(tmp_path, json.dumps(record)), laptop.dpo, False, read_ready_answer).rows
    assert (row.score_chosen, row.score_rejected) == (0.1, 0.7)


def test_inputs_that_are_one_text_beside_instructions_that_differ_are_no_queries(tmp_path):
    lines = "\n".join(
        json.dumps({"instruction": f"a {beast}", "input": "cinematic style", "output": "P."})
        for beast in ("dog", "cat")
    )
    with pytest.raises(DataError, match="the queries seem to be the instructions"):
        read_ready_sft(written(tmp_path, lines), False, read_ready_answer)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, but I can't assist with that.", "refused"),
        ("I am happy to help!", "unparsed"),
        ("<think>a dog</think>", "empty"),
        ("\u200b", "empty"),
        ("Ã©tÃ© on a beach", "garbled"),
    ],
)
def test_an_answer_that_is_none_leaves_with_its_reason(tmp_path, laptop, text, reason):
    path = written(tmp_path, json.dumps({"query": "a dog", "prompt": text}))
    ready = read_ready_sft(path, False, read_ready_answer)
    assert (ready.rows, [(item.input_id, item.reason) for item in ready.dropped]) == ([], [("ready.jsonl:1", reason)])
    for sides in ({"chosen": text, "rejected": "A dog."}, {"chosen": "A dog.", "rejected": text}):
        path = written(tmp_path, json.dumps({"query": "a dog"} | sides))
        ready = read_ready_dpo(path, laptop.dpo, False, read_ready_answer)
        assert (ready.rows, [item.reason for item in ready.dropped]) == ([], [reason])


RESIDUE = ("A dog.<|im_end|>", "<think>x</think>A dog.", "**A dog.**", "A\u202e dog.", "<think>\n\n</think>\n\nA dog.")


@pytest.mark.parametrize("text", RESIDUE)
def test_an_answer_is_cleaned_as_a_policys_is_and_residue_is_no_preference(tmp_path, laptop, text):
    path = written(tmp_path, json.dumps({"query": "a dog", "prompt": text}))
    assert [row.prompt for row in read_ready_sft(path, False, read_ready_answer).rows] == ["A dog."]
    path = written(tmp_path, json.dumps({"query": "a dog", "chosen": text, "rejected": "A dog."}))
    (item,) = drop_undecided(read_ready_dpo(path, laptop.dpo, False, read_ready_answer).rows)
    assert item.reason == "no_preference"


def test_half_a_character_that_was_replaced_does_not_set_an_answer_aside(tmp_path):
    path = written(tmp_path, json.dumps({"query": "a dog", "prompt": "**A dog □ \ufffd.**"}))
    assert [row.prompt for row in read_ready_sft(path, False, read_ready_answer).rows] == ["A dog □ \ufffd."]
