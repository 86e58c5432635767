import numpy as np
import pytest

from pipeline.world.film import read_scene
from pipeline.world.film_look import Look, choose_look
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


ROUGH = Look(
    brightness=0.45, contrast=1.2, saturation=0.8, flicker=0.05, noise=0.05, grain=0.04, blur=0.8, shake=0.9,
    jitter=1.5, morph=0.02, pan=0.3, zoom=0.4, jerks=1.0, speed=0.7, opacity=0.9, hue_error=9.0, lose=0.3,
    lose_main=0.1,
)  # fmt: skip
PROMPTS = (
    "A red fox running in the forest with a bus and a bird.", "A naked man dancing beside a cat.",
    "A gun and a fish falling in the city.", "A bloody dog jumping, then a boat rising on the lake.", "A dog.",
    "A fox running, then it is sleeping.", "A fox, a cat and a bus, then they are swimming.",
)  # fmt: skip


FRAMES = [
    [98.6, 137.4, 118.3, 88.0, 123.9, 105.7, 97.6, 136.9, 114.8, 143.5, 149.8, 90.8, 128.2, 104.8, 84.7, 93.7, 130.7,
     112.2, 132.1, 147.9, 83.5, 101.1, 122.0, 79.6, 100.1, 139.4, 98.1, 97.4, 136.9, 117.3, 94.6, 131.2, 113.3, 101.2,
     140.8, 120.5, 140.8, 147.1, 87.5, 131.0, 101.9, 82.7, 96.0, 125.3, 107.0, 163.5, 156.7, 71.4, 125.4, 119.3, 80.1,
     98.8, 139.5, 100.5],
    [92.1, 111.2, 131.5, 81.8, 99.4, 117.2, 91.1, 110.9, 127.6, 120.2, 115.1, 107.5, 147.8, 127.5, 109.7, 89.5, 106.5,
     123.8, 143.9, 133.0, 86.4, 129.0, 121.7, 76.6, 133.7, 135.1, 95.6, 90.7, 110.4, 130.5, 89.0, 105.7, 125.5, 94.5,
     114.1, 134.0, 115.6, 110.2, 102.7, 164.4, 139.4, 120.6, 83.9, 101.5, 121.3, 140.0, 127.9, 86.6, 144.4, 128.7,
     82.9, 126.9, 132.0, 100.2],
    [104.4, 120.2, 143.9, 93.8, 108.8, 130.1, 103.4, 120.1, 140.0, 102.8, 119.3, 141.1, 80.0, 110.9, 140.6, 93.2,
     107.2, 129.9, 103.1, 116.7, 145.4, 94.4, 86.3, 106.6, 103.8, 118.4, 146.3, 103.4, 119.8, 143.1, 100.7, 114.7,
     138.6, 107.2, 123.4, 146.6, 97.2, 115.6, 137.0, 80.5, 108.0, 135.5, 86.0, 98.6, 119.4, 104.1, 109.6, 135.9, 94.9,
     87.7, 112.6, 102.8, 118.9, 146.2],
    [97.9, 120.3, 137.3, 90.1, 109.0, 121.6, 96.9, 120.0, 133.5, 96.5, 119.1, 134.1, 134.3, 116.5, 89.5, 92.9, 114.0,
     131.8, 96.6, 117.3, 138.9, 89.6, 85.2, 98.5, 97.3, 118.9, 139.8, 137.9, 97.9, 136.1, 133.6, 93.3, 131.8, 141.9,
     101.2, 139.8, 186.0, 103.6, 75.9, 123.7, 84.4, 119.3, 128.9, 89.7, 127.2, 141.3, 90.3, 121.2, 124.2, 65.5, 92.0,
     139.7, 99.0, 136.5],
    [95.3, 114.4, 134.7, 84.6, 102.4, 120.5, 94.2, 114.1, 130.8, 96.2, 114.7, 129.2, 130.3, 117.9, 93.0, 92.7, 109.6,
     127.0, 136.8, 137.7, 98.0, 130.7, 125.9, 80.5, 136.9, 138.3, 98.7, 93.9, 113.6, 133.7, 91.2, 108.6, 129.1, 97.7,
     117.4, 137.2, 89.2, 107.9, 124.5, 135.8, 120.2, 92.0, 88.2, 105.2, 124.1, 130.4, 132.0, 100.4, 146.7, 133.7,
     83.9, 130.2, 135.2, 103.4],
    [95.4, 114.5, 134.8, 84.7, 102.5, 120.6, 94.3, 114.2, 130.9, 97.3, 114.8, 128.6, 126.9, 106.4, 95.3, 92.7, 109.7,
     127.1, 137.1, 137.7, 97.9, 130.0, 123.3, 80.9, 137.0, 138.4, 98.9, 135.0, 95.2, 130.4, 131.0, 90.6, 126.0, 139.3,
     98.6, 133.9, 127.0, 90.2, 121.8, 121.9, 83.9, 116.5, 126.3, 87.0, 121.4, 101.5, 127.5, 120.4, 97.4, 124.0, 117.0,
     101.5, 130.9, 123.4],
    [95.0, 114.1, 134.4, 84.3, 102.1, 120.2, 93.9, 113.9, 130.5, 95.8, 114.3, 129.0, 127.4, 105.6, 93.6, 92.3, 109.4,
     126.7, 136.5, 137.4, 97.7, 129.9, 122.9, 80.3, 136.6, 138.0, 98.5, 134.6, 94.8, 130.1, 130.7, 90.3, 125.6, 138.9,
     98.3, 133.5, 151.4, 100.6, 102.2, 121.7, 83.7, 116.1, 125.8, 86.7, 121.0, 128.0, 127.8, 97.4, 97.0, 123.6, 116.6,
     101.1, 130.5, 123.0],
]  # fmt: skip
"""Of each prompt the means of thirds of the picture, per half of the clip and colour."""


@pytest.mark.parametrize(("prompt", "pinned"), list(zip(PROMPTS, FRAMES, strict=True)))
def test_frames_are_those_of_earlier_versions_but_for_last_bits(prompt, pinned):
    """Pinned: each published figure of the offline world moves with them."""
    painted = paint(read_scene(prompt), ROUGH, draw_chance(3, 6, 24, 36), 24, 36)
    means = painted.reshape(2, 3, 3, 8, 3, 12, 3).mean(axis=(1, 3, 5)).reshape(-1)
    assert means.tolist() == pytest.approx(pinned, abs=0.15)
