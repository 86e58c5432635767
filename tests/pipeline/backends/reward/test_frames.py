import numpy as np
import pytest

from pipeline.backends.reward.frames import FEW, VIDEOSCORE, spread


def numbered(n):
    """Return n frames of one pixel that holds the frame's number."""
    return np.arange(n).reshape(n, 1, 1, 1)


def seen(frames):
    return frames.reshape(-1).tolist()


@pytest.mark.parametrize(
    ("n", "most", "expected"),
    [
        (8, 4, [0, 2, 4, 6]),
        (33, 4, [0, 8, 16, 24]),
        (10, 4, [0, 2, 5, 7]),
        (49, 16, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45]),
    ],
)
def test_spread_takes_even_steps_from_the_first_frame_on(n, most, expected):
    assert seen(spread(numbered(n), most)) == expected


@pytest.mark.parametrize("n", [1, 3, 4])
def test_spread_takes_all_frames_of_a_short_clip(n):
    assert seen(spread(numbered(n), 4)) == list(range(n))


def test_spread_never_gives_more_than_asked_for_whatever_rounding_does():
    sizes = {len(spread(numbered(n), most)) for most in (4, 16, 48) for n in range(most + 1, 600)}
    assert sizes == {4, 16, 48}


def test_the_frames_that_models_look_at_are_as_many_as_their_authors_take():
    assert (VIDEOSCORE, FEW) == (16, 4)
