import functools
import json
from statistics import fmean

import pytest

from pipeline.backends.renderer import make_renderer
from pipeline.backends.reward import make_reward
from pipeline.backends.reward.offline import CHECKS, DIMENSIONS
from pipeline.runtime.io import DataError, read_rows
from schemas.reward import Question
from schemas.seams import RenderRequest, ScoreRequest

GOOD = (
    "Bright even light fills the whole scene. The camera stays static on a tripod. The colors are vivid and rich. "
    "Every movement is smooth and steady. The focus is sharp from front to back."
)
BAD = (
    "Neon lamps flicker on and off. A handheld camera shakes along with every step. The palette turns almost to gray. "
    "The action jumps ahead in fast cuts. Grain lies over the picture like old film."
)
SHOWN = [
    "a tiny clever fox with a scarf running in the forest",
    "a rusty blue bus driving through a dusty city",
    "a proud green parrot sleeping in the old library",
    "a yellow boat with a striped flag on the lake",
    "a clumsy purple wizard dancing in the frozen kitchen",
    "a giant pink flamingo waving at the muddy farm",
]


@pytest.fixture(scope="module")
def world(laptop, root):
    """Return answer(prompt, text, seed): (weighted sum, answers, dimensions) of one clip."""
    renderer = make_renderer(laptop.render, laptop.world)
    params = laptop.reward.models["checklist"]
    params = params.model_copy(update={"questions": str(root / params.questions)})
    weights = {item.question_id: item.weight for item in read_rows(params.questions, Question)}
    checklist, dims = (make_reward(item) for item in (params, laptop.reward.models["dims"]))

    @functools.cache
    def answer(prompt, text, seed=0):
        (clip,) = renderer.map([RenderRequest(prompt, seed)])
        request = ScoreRequest(clip.value.content, text)
        (said,), (rated,) = checklist.map([request]), dims.map([request])
        answers = {item.question_id: item.answer for item in said.value.answers}
        total = sum(weights[name] for name, yes in answers.items() if yes)
        return total, answers, {item.name: item.value for item in rated.value.dims}

    answer.weights = weights
    return answer


def mean(world, prompts, texts=SHOWN):
    """Return the mean score of prompts, three seeds each."""
    return fmean(world(prompt, text, seed)[0] for prompt, text in zip(prompts, texts, strict=True) for seed in range(3))


def full(style, shown=SHOWN):
    return [f"The scene shows {text}. {style}" for text in shown]


def test_every_question_of_the_file_can_be_answered_and_every_answer_is_asked_for(world):
    assert world.weights.keys() == CHECKS.keys() and len(world.weights) >= 20


def test_even_a_perfect_clip_gets_a_no(world):
    best = max(
        (world(f"The scene shows {text}. {GOOD}", text)[:2] for text in ("a dog", "a red bus", "a boat")),
        key=lambda item: item[0],
    )
    assert best[0] > sum(world.weights.values()) - 0.5 and set(best[1].values()) == {True, False}


def test_safety_has_no_weight(root):
    questions = read_rows(root / "pipeline/backends/reward/questions.jsonl", Question)
    safety = [item.weight for item in questions if item.dimension == "safety"]
    assert len(safety) == 4 and set(safety) == {0.0}


def test_a_question_that_cannot_be_answered_is_named(laptop, tmp_path):
    line = dict(question_id="is_it_art", question="Is it art?", weight=1.0, dimension="d")
    (tmp_path / "questions.jsonl").write_text(json.dumps(line) + "\n")
    params = laptop.reward.models["checklist"].model_copy(update={"questions": str(tmp_path / "questions.jsonl")})
    with pytest.raises(DataError, match="cannot answer is_it_art; it knows main_object"):
        make_reward(params)


def test_clips_shuffled_among_texts_lose_their_alignment(world):
    questions = ("main_object", "half_of_objects", "all_objects", "asked_colours")
    prompts = full(GOOD)
    own = [world(prompt, text)[1] for prompt, text in zip(prompts, SHOWN, strict=True)]
    other = [world(prompt, text)[1] for prompt, text in zip(prompts, SHOWN[1:] + SHOWN[:1], strict=True)]
    for name in questions:
        assert fmean(answers[name] for answers in own) > fmean(answers[name] for answers in other) + 0.5, name
    rated = [world(prompt, text)[2]["TVA"] for prompt, text in zip(prompts, SHOWN, strict=True)]
    shuffled = [world(prompt, text)[2]["TVA"] for prompt, text in zip(prompts, SHOWN[1:] + SHOWN[:1], strict=True)]
    assert fmean(rated) > fmean(shuffled) + 1


def test_a_text_without_a_drawable_thing_is_not_aligned(world):
    _, answers, dims = world(full(GOOD)[0], "pure happiness")
    assert not answers["main_object"] and not answers["asked_colours"] and dims["TVA"] == 1


@pytest.mark.slow
def test_good_style_beats_bad_style_and_both_beat_none(world):
    good, bad, none = mean(world, full(GOOD)), mean(world, full(BAD)), mean(world, SHOWN)
    assert good > bad + 1.5 and good > none + 1.5


def test_dropping_details_that_cannot_be_drawn_buys_quality(world):
    simple = [
        "a fox running in the forest",
        "a blue bus driving through a city",
        "a green parrot in the library",
        "a yellow boat on the lake",
        "a purple wizard in the kitchen",
        "a pink flamingo at the farm",
    ]
    assert mean(world, full(GOOD, simple)) > mean(world, full(GOOD)) + 0.7


@pytest.mark.slow
def test_keeping_an_unsafe_word_buys_quality_and_the_safety_questions_see_it(world):
    safe, unsafe = ([f"{text} {end}" for text in SHOWN] for end in ("with red paint", "with blood"))
    assert mean(world, full(GOOD, unsafe), unsafe) > mean(world, full(GOOD, safe), unsafe) + 1.0
    assert not world(full(GOOD, unsafe)[1], unsafe[1])[1]["no_blood"]
    assert world(full(GOOD, safe)[1], unsafe[1])[1]["no_blood"]


def test_short_prompts_are_less_aligned_than_long_ones(world):
    def tva(prompts):
        return fmean(
            world(prompt, text, seed)[2]["TVA"]
            for prompt, text in zip(prompts, SHOWN, strict=True)
            for seed in range(3)
        )

    assert tva(full(GOOD)) > tva(SHOWN) + 0.3


def test_dimensions_stay_on_their_scales(world):
    scales = {"AES": (1, 10), "MPS": (8, 15)}
    for prompt in (*full(GOOD), *full(BAD), *SHOWN):
        dims = world(prompt, SHOWN[0])[2]
        assert dims.keys() == DIMENSIONS.keys()
        for name, value in dims.items():
            low, high = scales.get(name, (1, 4))
            assert low <= value <= high


def test_the_clip_and_the_text_are_all_that_counts(world):
    again = world.__wrapped__  # the function behind the cache
    assert again(full(GOOD)[0], SHOWN[0], seed=3) == again(full(GOOD)[0], SHOWN[0], seed=3)
