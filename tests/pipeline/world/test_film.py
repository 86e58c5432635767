import numpy as np
import pytest

from pipeline.world.film import OUTLINES, read_scene, rgb, silhouette, subjects, words
from pipeline.world.film_look import EFFECTS, look
from pipeline.world.film_paint import chance, paint
from pipeline.world.lexicon import DRAWABLE
from pipeline.world.phrases import PHRASES, SCENE_CHANGES

STYLE = "Bright even light fills the whole scene. The camera stays static on a tripod."


def things(text):
    return [(thing.noun, thing.hue) for thing in subjects(words(text))]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a fox beside two cars", [("fox", 18), ("car", 0)]),
        ("a blue fluffy fox beside a car", [("fox", 220), ("car", 0)]),
        ("a white rabbit", [("rabbit", None)]),
        ("an orange cat eats an orange", [("cat", 30), ("orange", 30)]),
        ("Dogs, dogs and a DOG", [("dog", 30)]),
        ("the quiet morning", []),
    ],
)
def test_nouns_are_seen_with_the_colour_before_them(text, seen):
    assert things(text) == seen


def test_a_scene_has_one_place_one_motion_and_the_wishes():
    scene = read_scene(f"The scene shows a dog running in the forest. {STYLE}")
    assert (scene.place, scene.motion, scene.n_shots, scene.dramatic, scene.unsafe) == (
        "forest",
        "across",
        1,
        False,
        (),
    )
    assert scene.effects == {"light": ("even",), "camera": ("static",)}


def test_only_words_that_ask_for_something_count_and_each_once():
    assert read_scene(f"The scene shows a tiny dog and a dog in the forest. {STYLE}").n_content == 3


def test_drama_does_not_crowd_a_scene_and_unsafe_words_are_named():
    calm, wild = read_scene("A tiny dog in the storm."), read_scene("A naked dog and a blood moon.")
    assert (calm.n_content, calm.dramatic) == (2, True)
    assert wild.unsafe == ("naked",)


def test_scene_changes_are_counted():
    assert read_scene(f"A dog runs. {SCENE_CHANGES[0]} {SCENE_CHANGES[3]}").n_shots == 3


def test_what_a_negative_prompt_names_is_not_drawn():
    assert [thing.noun for thing in read_scene("a dog and a car", avoid="cars, blur").subjects] == ["dog"]


def test_the_generator_knows_every_effect_of_the_stock_sentences_and_no_other():
    assert EFFECTS.keys() == {phrase.effect for phrases in PHRASES.values() for phrase in phrases}


def test_every_shape_of_the_lexicon_has_an_outline():
    assert {shape for shape, _, _ in DRAWABLE.values()} == OUTLINES.keys()


@pytest.mark.parametrize("shape", OUTLINES)
def test_an_outline_stands_within_its_frame(shape):
    y, x = np.mgrid[-1:1:81j, -1:1:81j]
    cover = silhouette(shape, x, y, 40)
    inside = (abs(x) <= 0.55) & (abs(y) <= 0.55)
    assert cover[inside].max() == 1 and cover[~inside].max() == 0


@pytest.mark.parametrize(("hue", "colour"), [(0, (1, 0, 0)), (120, (0, 1, 0)), (240, (0, 0, 1)), (60, (1, 1, 0))])
def test_a_hue_is_a_colour(hue, colour):
    assert rgb(hue, 1, 1) == pytest.approx(colour)


def shot(content, style=STYLE, **strengths):
    return look(read_scene(f"The scene shows {content}. {style}"), **strengths)


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


def frames(prompt, seed=0, size=(12, 48, 48)):
    scene = read_scene(prompt)
    return paint(scene, look(scene), chance(seed, *size), *size[1:])


def test_the_same_prompt_and_seed_give_the_same_frames():
    prompt = f"A dog running in the forest. {STYLE}"
    assert (frames(prompt) == frames(prompt)).all() and (frames(prompt) != frames(prompt, seed=1)).any()


def test_sibling_prompts_share_their_noise():
    quiet = f"A dog on a beach. {STYLE}"
    loud = f"A cat on a beach. {STYLE}"
    corner = np.s_[:, :12, :12]
    same = frames(quiet)[corner].astype(int) - frames(loud)[corner]
    other = frames(quiet)[corner].astype(int) - frames(loud, seed=1)[corner]
    assert abs(same).mean() < 2 < abs(other).mean()


@pytest.mark.parametrize("size", [(1, 48, 48), (2, 32, 64), (9, 64, 96)])
def test_any_size_can_be_painted(size):
    painted = frames("A dog, a car, a tree and a moon in the city, then a dog.", size=size)
    assert painted.shape == (*size, 3) and painted.dtype == np.uint8
