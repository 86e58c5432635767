import pytest

from pipeline.video.long_prompts import fit_prompts
from schemas.base import Dropped
from schemas.rollout import Rollout
from tests.support.misbehaving import Misbehaving
from tests.support.rows import BY, prompt_fields


class Reads:
    """A renderer that reads so many words and nothing more."""

    by = BY

    def __init__(self, limit=3):
        self.token_limit = limit

    def count_tokens(self, prompt):
        return len(prompt.split())


ROWS = [Rollout(**prompt_fields(prompt=prompt)) for prompt in ("A dog runs.", "A dog runs on a beach.")]


@pytest.fixture
def choosing(laptop, root):
    template = str(root / "pipeline/templates/shorten.jinja")
    return lambda choice: laptop.render.model_copy(update={"long_prompts": choice, "shorten_template": template})


def test_truncate_leaves_the_prompt_to_the_generator(choosing):
    assert [text for _, text in fit_prompts(ROWS, Reads(), choosing("truncate"))] == [row.prompt for row in ROWS]


def test_refuse_drops_what_is_too_long_and_says_how_long_it_is(choosing):
    short, long = fit_prompts(ROWS, Reads(), choosing("refuse"))
    assert short == (ROWS[0], "A dog runs.")
    assert (long.input_id, long.reason) == (ROWS[1].prompt_id, "over_token_limit")
    assert long.detail == "6 tokens, grammar reads 3"


def test_a_generator_whose_limit_nobody_knows_gets_every_prompt(choosing):
    assert all(not isinstance(item, Dropped) for item in fit_prompts(ROWS, Reads(None), choosing("refuse")))


def test_the_teacher_shortens_only_what_is_too_long(choosing):
    teacher = Misbehaving("[[start]]Dog on beach.[[end]]")
    found = list(fit_prompts(ROWS, Reads(), choosing("shorten"), teacher))
    assert found == [(ROWS[0], "A dog runs."), (ROWS[1], "Dog on beach.")]
    assert len(teacher.asked) == 1 and "A dog runs on a beach." in teacher.asked[0][0]["content"]


def test_what_is_still_too_long_or_not_answered_leaves(choosing):
    (_, still) = fit_prompts(ROWS, Reads(), choosing("shorten"), Misbehaving("[[start]]A dog on a beach.[[end]]"))
    assert (still.reason, still.detail) == ("over_token_limit", "shortened, still 5 tokens, grammar reads 3")
    (_, odd) = fit_prompts(ROWS, Reads(), choosing("shorten"), Misbehaving("no"))
    assert odd.reason == "unparsed" and odd.detail.startswith("shorten: ")
