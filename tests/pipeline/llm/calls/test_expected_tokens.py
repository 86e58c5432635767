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


def test_what_is_charged_for_unknown_requests_is_their_mean_and_twice_the_spread_of_their_sum():
    expected = ExpectedTokens()
    expected.per_choice, expected.variance = 100.0, 40.0**2
    outputs = [expected.estimate_unknown({"messages": [{"content": "x"}]}, number)[1] for number in range(1, 26)]
    assert outputs[0] == 180 and outputs == sorted(outputs, reverse=True)
    assert sum(outputs) == pytest.approx(25 * 100 + 2 * 40 * 5, abs=13)  # the sum of 25 spreads five times as much


def test_the_spread_is_learnt_from_the_answers():
    expected = ExpectedTokens()
    for number in range(1, 400):
        expected.learn(BODY, (50, 200 + 80 * (-1) ** number), number)
    assert expected.variance**0.5 == pytest.approx(40, rel=0.1)


def test_what_earlier_runs_took_is_expected_until_the_first_answer():
    expected = ExpectedTokens()
    expected.begin(0, 0)
    assert expected.per_choice == FIRST_OUTPUT_TOKENS
    expected.begin(10, 800)
    assert (expected.per_choice, expected.variance) == (80, 40**2)
    expected.learn(BODY, (50, 40), 1)
    assert expected.per_choice == 20
