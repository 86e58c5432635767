from dataclasses import replace

import numpy as np
import pytest

from pipeline.video.clips import decode, encode
from pipeline.world.film import read_scene, read_subjects, words
from pipeline.world.film_look import Look
from pipeline.world.film_measure import measure, measure_likeness, pick_frames
from pipeline.world.film_paint import draw_chance, paint

CALM = Look(brightness=0.52, flicker=0, noise=0.025, blur=0.1, shake=0, jitter=0)


def filmed(prompt="a red fox running in the forest", seed=0, **look):
    scene = read_scene(prompt)
    return decode(encode(paint(scene, replace(CALM, **look), draw_chance(seed, 12, 48, 48), 48, 48), 8))


@pytest.mark.parametrize(
    ("name", "values", "measured"),
    [
        ("brightness", (0.2, 0.4, 0.6), "brightness"),
        ("contrast", (0.6, 1.0, 2.0), "contrast"),
        ("saturation", (0.2, 0.55, 1.0, 1.3), "colour"),
        ("noise", (0.01, 0.03, 0.06, 0.1), "noise"),
        ("flicker", (0.0, 0.03, 0.08, 0.15), "flicker"),
        ("morph", (0.0, 0.012, 0.024, 0.048), "morphing"),
        ("shake", (0.0, 0.3, 0.9, 2.0), "shake"),
        ("pan", (0.0, 0.2, 0.6), "pan"),
        ("jitter", (0.0, 0.5, 1.5, 3.0), "jumpiness"),
    ],
)
def test_a_fault_that_grows_is_measured_as_growing(name, values, measured):
    found = [getattr(measure(filmed(**{name: value})), measured) for value in values]
    assert found == sorted(found) and found[-1] > found[0] + 0.02


def test_blur_is_measured_as_less_sharp():
    found = [measure(filmed(blur=blur)).sharpness for blur in (0.1, 1.0, 1.9)]
    assert found == sorted(found, reverse=True)


def test_flicker_is_not_taken_for_noise_nor_noise_for_flicker():
    assert measure(filmed(flicker=0.1)).noise == pytest.approx(measure(filmed()).noise, abs=0.005)
    assert measure(filmed(noise=0.1)).flicker < 0.01


def test_a_still_picture_is_steady_and_one_frame_is_enough():
    still = np.repeat(filmed()[:1], 12, axis=0)
    for frames in (still, still[:1]):
        measured = measure(frames)
        assert measured.flicker == measured.morphing == measured.motion == measured.shake == 0
    assert measured.brightness == pytest.approx(0.52, abs=0.05)


@pytest.mark.parametrize(
    "noun", ["fox", "bird", "fish", "clown", "bus", "castle", "pumpkin", "umbrella", "whale", "dragon"]
)
def test_a_thing_is_found_where_it_is_shown_and_not_where_it_is_not(noun):
    (thing,) = read_subjects([noun])
    there = measure_likeness(pick_frames(filmed(f"a {noun} in the city")), thing)
    gone = measure_likeness(pick_frames(filmed("the city")), thing)
    assert np.median(there) > 0.4 > 0.2 > np.median(gone)


def test_a_white_thing_is_found_by_its_lightness():
    (thing,) = read_subjects(words("a white whale"))
    shown, black = (pick_frames(filmed(f"a {colour} whale in a cave")) for colour in ("white", "black"))
    assert measure_likeness(shown, thing).mean() > 0.3 > measure_likeness(black, thing).mean()
