from schemas.base import Dropped
from vpo.planning.expected import Estimate, ask_in_rounds, count_lost, mean_sent
from vpo.planning.lookup import NOT_BOUGHT


def test_candidates_are_asked_in_the_rounds_of_the_stage():
    assert ask_in_rounds(32, 1.0) == 32
    assert ask_in_rounds(32, 0.85) == 32 + 16
    assert ask_in_rounds(32, 0.5, candidates=40) == 40
    assert ask_in_rounds(0, 0.5) == 0


def test_a_note_is_said_once():
    estimate = Estimate("refine", "teacher", "openai", "m", True)
    estimate.say("why")
    estimate.say("why")
    assert estimate.notes == ["why"]


def test_what_is_lost_is_what_is_not_bought_and_nothing_else():
    made = [Dropped(input_id="a", reason="refused", detail=NOT_BOUGHT), Dropped(input_id="b", reason="refused")]
    assert count_lost(made) == 1


def test_the_mean_of_requests_is_in_characters_of_all_their_messages():
    assert mean_sent([[{"content": "ab"}, {"content": "cd"}], [{"content": "abcdef"}]]) == 5
