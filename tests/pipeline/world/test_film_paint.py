import numpy as np
import pytest

from pipeline.world.film import read_scene
from pipeline.world.film_look import choose_look
from pipeline.world.film_paint import draw_chance, paint

STYLE = "Bright even light fills the whole scene. The camera stays static on a tripod."


def frames(prompt, seed=0, size=(12, 48, 48)):
    scene = read_scene(prompt)
    return paint(scene, choose_look(scene), draw_chance(seed, *size), *size[1:])


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
