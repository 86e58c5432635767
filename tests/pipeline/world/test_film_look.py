import pytest

from pipeline.world.film import read_scene
from pipeline.world.film_look import BEST, EFFECTS, choose_look
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
