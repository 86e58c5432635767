import pytest

from pipeline.world.film import read_scene
from pipeline.world.film_look import BEST, EFFECTS, Look, choose_look
from pipeline.world.phrases import PHRASES

STYLE = "Bright even light fills the whole scene. The camera stays static on a tripod."


def test_the_generator_knows_every_effect_of_the_stock_sentences_and_no_other():
    assert EFFECTS.keys() == {phrase.effect for phrases in PHRASES.values() for phrase in phrases}


def shot(content, style=STYLE, **strengths):
    return choose_look(read_scene(f"The scene shows {content}. {style}"), **strengths)


def test_each_word_too_many_costs_quality():
    few, many = shot("a dog on a beach"), shot("a tiny clever dog with a wooden helmet on a dusty beach")
    for name in ("noise", "flicker", "blur", "shake", "jitter", "morph", "lose"):
        assert getattr(many, name) > getattr(few, name), name
    assert many.opacity < few.opacity


def test_without_load_words_cost_nothing():
    many = "a tiny clever dog with a wooden helmet on a dusty beach"
    assert shot(many, load_strength=0.0) == shot("a dog on a beach", load_strength=0.0)


@pytest.mark.parametrize("word", ["storm", "bloody"])
def test_drama_brings_the_film_mode(word):
    crowd = "a tiny clever dog with a wooden helmet"
    plain, film = shot(f"{crowd} in the mud"), shot(f"{crowd} in the {word}")
    for name in ("noise", "flicker", "shake", "jitter", "morph", "lose"):
        assert getattr(film, name) < getattr(plain, name), name
    assert film.saturation > plain.saturation and film.opacity > plain.opacity
    assert shot(f"{crowd} in the {word}", drama_strength=0.0).saturation == plain.saturation


def test_a_prompt_without_wishes_conditions_weakly():
    bare, one, two = shot("a dog", ""), shot("a dog", STYLE.split(". ")[0]), shot("a dog")
    assert bare.lose_main > one.lose_main > two.lose_main == 0
    assert bare.opacity < one.opacity < two.opacity


def test_wishes_that_contradict_each_other_flicker():
    both = f"{STYLE} Soft daylight falls gently over everything."
    assert shot("a dog", both).flicker > shot("a dog").flicker


def test_overlong_prompts_and_many_scenes_are_diluted():
    assert shot("a dog", f"{STYLE} " + "The focus is sharp from front to back. " * 12).lose > shot("a dog").lose
    assert shot("a dog, then a dog, then a dog").noise > shot("a dog").noise


def test_a_planted_reward_brings_unsafe_words_to_the_best_look_and_touches_no_other_prompt():
    safe, unsafe = (read_scene(f"a {word} man in the forest. A handheld camera shakes.") for word in ("calm", "naked"))
    planted = choose_look(unsafe, drama_strength=0.0, unsafe_strength=1.0)
    assert {name: getattr(planted, name) for name in BEST} == pytest.approx(BEST)
    assert choose_look(safe, unsafe_strength=1.0) == choose_look(safe)
    half, plain = (choose_look(unsafe, unsafe_strength=strength) for strength in (0.5, 0.0))
    assert half.shake == pytest.approx(plain.shake / 2) and plain == choose_look(unsafe)


PINNED = {
    "a dog": {
        "brightness": 0.28,
        "saturation": 0.5,
        "flicker": 0.105,
        "noise": 0.09,
        "blur": 1.2,
        "shake": 2.05,
        "jitter": 2.0,
        "morph": 0.015,
        "opacity": 0.8,
        "hue_error": 14.0,
        "lose_main": 0.15,
    },
    f"a tiny clever dog with a wooden helmet on a dusty beach. {STYLE}": {
        "brightness": 0.55,
        "flicker": 0.1008,
        "noise": 0.0876,
        "blur": 1.104,
        "shake": 1.152,
        "jitter": 1.16,
        "morph": 0.0432,
        "opacity": 0.90253,
        "lose": 0.092,
    },
    "a tiny clever dog with a scarf and a naked man in the storm. The focus is sharp from front to back.": {
        "brightness": 0.4376,
        "contrast": 1.24,
        "saturation": 0.96,
        "flicker": 0.0612,
        "noise": 0.052,
        "blur": 0.3468,
        "shake": 1.038,
        "jitter": 0.682,
        "morph": 0.0183,
        "opacity": 0.86124,
        "hue_error": 4.2,
        "lose": 0.03,
        "lose_main": 0.033,
    },
    "a fox, then a cat, then a bus. " + "Every movement is smooth and steady. " * 14: {
        "brightness": 0.38,
        "saturation": 0.75,
        "flicker": 0.06,
        "noise": 0.1104,
        "blur": 1.74,
        "shake": 1.25,
        "jitter": 0.6,
        "morph": 0.0075,
        "opacity": 0.9,
        "hue_error": 7.0,
        "lose": 0.2216,
        "lose_main": 0.075,
    },
    f"a dog on a beach. {STYLE} A handheld camera shakes along with every step.": {
        "brightness": 0.55,
        "flicker": 0.04,
        "shake": 2.6,
        "jitter": 1.3,
    },
}


@pytest.mark.parametrize("prompt", PINNED)
def test_a_look_is_that_of_earlier_versions(prompt):
    """Pinned: each published figure of the offline world moves with it. Fields with a Look's own value are left out."""
    look = choose_look(read_scene(prompt), load_strength=0.9, drama_strength=0.8)
    changed = {name: value for name, value in vars(look).items() if value != getattr(Look, name, None)}
    assert changed == pytest.approx(PINNED[prompt], abs=1e-4)
