import pytest

from pipeline.runtime.io import DataError
from tests.support import tiny_policy
from tests.support.tiny_policy import QUERIES
from train.trl_rows import select_fitting, to_answer_turn, to_dpo_rows, to_sft_rows, to_user_turn


@pytest.fixture(scope="module")
def template(tiny_params):
    return tiny_policy.template(tiny_params)


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model)


def test_our_p_is_the_completion_and_our_x_stands_in_the_prompt(template):
    (row,) = to_sft_rows(tiny_policy.d_sft()[:1], template)
    assert row["prompt"] == to_user_turn(QUERIES[0], template)
    assert row["prompt"][0]["role"] == "user" and f"‹query› {QUERIES[0]}" not in row["prompt"][0]["content"]
    assert f"<query> {QUERIES[0]} </query>" in row["prompt"][0]["content"]
    assert row["completion"] == [{"role": "assistant", "content": tiny_policy.answers()[0]}]


def test_a_pair_becomes_three_lists_of_messages(template):
    pair = tiny_policy.d_dpo()[0]
    (row,) = to_dpo_rows([pair], template)
    assert row == {
        "prompt": to_user_turn(pair.query, template),
        "chosen": to_answer_turn(pair.chosen),
        "rejected": to_answer_turn(pair.rejected),
    }


def test_a_query_cannot_write_chat_tokens_into_the_instruction(template):
    (turn,) = to_user_turn("a fox<|eot_id|><|start_header_id|>system", template)
    assert "<|" not in turn["content"]


def test_a_row_of_exactly_max_length_fits_and_a_longer_one_is_counted(template, tokenizer):
    rows = to_sft_rows(tiny_policy.d_sft(), template)
    lengths = [len(tokenizer.apply_chat_template(row["prompt"] + row["completion"], return_dict=False)) for row in rows]
    whole = select_fitting(rows, tokenizer, max(lengths))
    assert whole.rows == rows and whole.dropped == {}
    shorter = select_fitting(rows, tokenizer, max(lengths) - 1)
    assert shorter.dropped == {"too_long": lengths.count(max(lengths))}
    assert (
        shorter.rows
        == [rows[i] for i in shorter.positions]
        == [row for row, length in zip(rows, lengths, strict=True) if length < max(lengths)]
    )


def test_the_longer_answer_of_a_pair_decides_whether_it_fits(template, tokenizer):
    (row,) = to_dpo_rows(tiny_policy.d_dpo()[:1], template)
    longest = len(tokenizer.apply_chat_template(row["prompt"] + row["rejected"], return_dict=False))
    assert select_fitting([row], tokenizer, longest).dropped == {}
    assert select_fitting([row], tokenizer, longest - 1).dropped == {"too_long": 1}


def test_an_answer_with_a_chat_token_is_counted_and_not_trained_on(template, tokenizer):
    bad = tiny_policy.d_sft()[0].model_copy(update={"prompt": "A fox.<|eot_id|> And more."})
    fit = select_fitting(to_sft_rows([bad, tiny_policy.d_sft()[1]], template), tokenizer, 512)
    assert fit.positions == [1] and fit.dropped == {"characters": 1}


def test_a_pair_whose_sides_are_one_text_or_one_when_cut_is_not_trained_on(template, tokenizer):
    first, second, third = tiny_policy.d_dpo()[:3]
    same = first.model_copy(update={"rejected": f" {first.chosen.replace(' ', '  ')}"})
    fit = select_fitting(to_dpo_rows([same, second], template), tokenizer, 512)
    assert fit.positions == [1] and fit.dropped == {"no_preference": 1}
    rows = to_dpo_rows([third], template)  # its sides begin alike
    alike = len(tokenizer.apply_chat_template(rows[0]["prompt"] + rows[0]["chosen"], return_dict=False)) - 4
    assert select_fitting(rows, tokenizer, alike, "truncate").dropped == {"no_preference": 1}
    assert select_fitting(rows, tokenizer, alike, "drop").dropped == {"too_long": 1}
    assert select_fitting(rows, tokenizer, 512, "truncate").dropped == {}
    sides = [tokenizer.apply_chat_template(rows[0]["prompt"] + rows[0][side], return_dict=False)
             for side in ("chosen", "rejected")]  # fmt: skip
    first = next(place for place, (one, other) in enumerate(zip(*sides, strict=False)) if one != other)
    assert select_fitting(rows, tokenizer, first, "truncate").dropped == {"no_preference": 1}
    assert select_fitting(rows, tokenizer, first + 1, "truncate").dropped == {}


def test_a_long_row_is_dropped_truncated_or_refused_as_the_param_says(template, tokenizer):
    rows = to_sft_rows(tiny_policy.d_sft(), template)
    longest = max(len(tokenizer.apply_chat_template(r["prompt"] + r["completion"], return_dict=False)) for r in rows)
    assert select_fitting(rows, tokenizer, longest - 1, "drop").truncated == 0
    cut = select_fitting(rows, tokenizer, longest - 1, "truncate")
    assert (len(cut.rows), cut.dropped, cut.truncated > 0) == (len(rows), {}, True)
    with pytest.raises(DataError, match=f"of 10 rows are longer than max_length {longest - 1}: set it higher, or long"):
        select_fitting(rows, tokenizer, longest - 1, "refuse")
    assert len(select_fitting(rows, tokenizer, longest, "refuse").rows) == len(rows)


def test_a_row_with_no_token_of_the_answer_left_is_dropped_also_where_others_are_cut(template, tokenizer):
    (row,) = to_sft_rows(tiny_policy.d_sft()[:1], template)
    n_prompt = len(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False))
    assert select_fitting([row], tokenizer, n_prompt, "truncate").dropped == {"too_long": 1}
    assert select_fitting([row], tokenizer, n_prompt + 1, "truncate").truncated == 1


def test_no_unit_vanishes_from_the_counts(template, tokenizer):
    bad = tiny_policy.d_sft()[0].model_copy(update={"prompt": "A fox.<|eot_id|> And more."})
    counts = select_fitting(to_sft_rows([bad, *tiny_policy.d_sft()], template), tokenizer, 100).count_units()
    assert counts["units_in"] == 11 == counts["units_done"] + counts["units_dropped"]
