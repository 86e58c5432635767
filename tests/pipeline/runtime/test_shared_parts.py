from pipeline.runtime.shared_parts import SharedParts
from schemas.base import Provenance
from schemas.reward import Answer, Dimension, Reward


def reward(clip, yes=True, value=0.5):
    return Reward(
        video_id=clip, query_id="q", prompt_id="p", frames_hash="f", reward="checklist", scored_text="a dog",
        answers=(Answer(question_id="q1", answer=yes), Answer(question_id="q2", answer=True)),
        dims=(Dimension(name="DD", value=value),), scored_by=Provenance(backend="b", model="m", revision="r"),
    )  # fmt: skip


def test_rows_are_equal_to_what_they_were_and_hold_equal_parts_once():
    rows = [reward("1"), reward("2", yes=False), reward("3", value=1.0)]
    first, second, third = SharedParts().share(row.model_copy(deep=True) for row in rows)
    assert [first, second, third] == rows
    assert first.scored_by is second.scored_by is third.scored_by
    assert first.answers is third.answers and first.answers[1] is second.answers[1]
    assert first.answers[0].answer and not second.answers[0].answer
    assert first.dims == second.dims != third.dims
    assert first.model_fields_set is third.model_fields_set


def test_a_row_that_was_made_of_other_fields_still_says_so():
    shared = SharedParts()
    (whole,) = shared.share([reward("1")])
    (more,) = shared.share([Reward(**dict(reward("2")) | {"arm": "dpo"})])
    assert "arm" not in whole.model_fields_set and "arm" in more.model_fields_set
