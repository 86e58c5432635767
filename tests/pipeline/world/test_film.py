import numpy as np
import pytest

from pipeline.world.film import OUTLINES, cover_shape, mix_colour, read_scene, read_subjects, words
from pipeline.world.lexicon import DRAWABLE
from pipeline.world.phrases import SCENE_CHANGES

STYLE = "Bright even light fills the whole scene. The camera stays static on a tripod."


def things(text):
    return [(thing.noun, thing.hue) for thing in read_subjects(words(text))]


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


def test_every_shape_of_the_lexicon_has_an_outline():
    assert {shape for shape, _, _ in DRAWABLE.values()} == OUTLINES.keys()


@pytest.mark.parametrize("shape", OUTLINES)
def test_an_outline_stands_within_its_frame(shape):
    y, x = np.mgrid[-1:1:81j, -1:1:81j]
    cover = cover_shape(shape, x, y, 40)
    inside = (abs(x) <= 0.55) & (abs(y) <= 0.55)
    assert cover[inside].max() == 1 and cover[~inside].max() == 0


@pytest.mark.parametrize(("hue", "colour"), [(0, (1, 0, 0)), (120, (0, 1, 0)), (240, (0, 0, 1)), (60, (1, 1, 0))])
def test_a_hue_is_a_colour(hue, colour):
    assert mix_colour(hue, 1, 1) == pytest.approx(colour)
