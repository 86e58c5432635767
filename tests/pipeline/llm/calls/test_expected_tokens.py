import pytest

from pipeline.llm.calls.expected_tokens import FIRST_OUTPUT_TOKENS, TOKENS_PER_CHARACTER, ExpectedTokens

BODY = {"messages": [{"content": "x" * 60}, {"content": "y" * 40}], "n": 2}


def test_before_any_answer_a_request_takes_what_others_do():
    expected = ExpectedTokens()
    assert expected.estimate_input(BODY) == 100 * TOKENS_PER_CHARACTER
    assert expected.estimate_total(BODY) == 100 * TOKENS_PER_CHARACTER + 2 * FIRST_OUTPUT_TOKENS


def test_the_first_answer_takes_the_place_of_what_was_expected_and_later_ones_move_it():
    expected = ExpectedTokens()
    expected.learn(BODY, (50, 40), 1)
    assert (expected.per_character, expected.per_choice) == (0.5, 20)
    expected.learn(BODY, (50, 80), 2)
    assert expected.per_choice == pytest.approx(30)
    expected.learn(BODY, (50, 80), 1000)
    assert expected.per_choice == pytest.approx(30.5)  # the newest never weighs less than 5 %
