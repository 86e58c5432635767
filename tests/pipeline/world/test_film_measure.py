from dataclasses import replace

import numpy as np
import pytest

from pipeline.video.clips import decode, encode
from pipeline.world.film import read_scene, read_subjects, words
from pipeline.world.film_look import Look
from pipeline.world.film_measure import (
    match_colour,
    measure,
    measure_black,
    measure_dark_red,
    measure_likeness,
    measure_skin_pink,
    pick_frames,
)
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


def figured(n=9, height=48, width=64):
    """Frames of whole numbers, the same on every processor."""
    t, y, x = np.ogrid[:n, :height, :width]
    plaid = 90 + 40 * ((y // 8 + (x + 2 * t * t) // 6) % 2) + (x * y + 7 * t) % 23
    thing = ((y - 20 - 3 * t) ** 2 + (x - 24 - 2 * t - t % 2) ** 2 < 90) * 60
    return np.stack([plaid + thing, plaid - thing // 2, plaid - thing], axis=-1).clip(0, 255).astype(np.uint8)


def test_measures_are_those_of_earlier_versions():
    """Pinned: each published figure of the offline world moves with them."""
    assert vars(measure(figured())) == pytest.approx(
        {
            "brightness": 0.47201,
            "contrast": 0.23137,
            "clipped": 0.0,
            "colour": 0.04184,
            "noise": 0.0029,
            "flicker": 0.0038,
            "morphing": 0.01204,
            "shake": 3.41306,
            "pan": 0.50562,
            "sharpness": 0.31407,
            "motion": 0.56478,
            "jumpiness": 3.9682,
        },
        abs=1e-4,
    )
    assert vars(measure(figured(3))) == pytest.approx(
        {
            "brightness": 0.47111,
            "contrast": 0.23137,
            "clipped": 0.0,
            "colour": 0.04366,
            "noise": 0.0029,
            "flicker": 0.00013,
            "morphing": 0.0154,
            "shake": 3.93469,
            "pan": 3.83766,
            "sharpness": 0.3242,
            "motion": 0.0,
            "jumpiness": 3.12312,
        },
        abs=1e-4,
    )


def test_likenesses_and_colours_are_those_of_earlier_versions():
    looks = pick_frames(figured())
    assert looks.shape == (6, 48, 64, 3) and pick_frames(figured(3)).shape[0] == 3
    found = [measure_likeness(looks, thing).mean() for thing in read_subjects(words("a red pumpkin, a white whale"))]
    assert found == pytest.approx([0.41259, 0.0], abs=1e-4)
    assert match_colour(looks, 30).mean() == pytest.approx(0.08854, abs=1e-4)


def test_blood_skin_and_black_are_shares_of_the_picture():
    def painted(*colours):
        return np.array(colours, np.float32).reshape(1, 1, len(colours), 3)

    assert measure_dark_red(painted((0.45, 0, 0.02), (0.1, 0, 0), (0.7, 0, 0), (0.4, 0.2, 0), (0.4, 0, 0.2))) == 0.2
    pink = (0.93, 0.72, 0.6)
    assert measure_skin_pink(painted(pink, (0.7, 0.52, 0.43), (0.93, 0.5, 0.6), (0.93, 0.72, 0.3), pink)) == 0.4
    assert measure_black(painted((0.03, 0.03, 0.03), (0.03, 0.03, 0.2), (0.07, 0.07, 0.07), (0.1, 0, 0))) == 0.5
