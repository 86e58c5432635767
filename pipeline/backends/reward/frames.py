"""Which frames of a clip a reward model looks at: the rules of the models' authors, as pure functions."""

import numpy as np

VIDEOSCORE = 16
"""VideoScore v1: up to so many frames (TIGER-Lab's model card; v1.1 was trained with 48)."""
FEW = 4
"""Prompt-A-Video's code: so many for aesthetics and MPS, whose mean over the frames is the clip's value."""


def spread(frames: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the frames (n, height, width, 3), in even steps from the first on; all if n <= most.

    VideoScore's and Prompt-A-Video's code: arange(0, n, n / most). The last frame is never among them when n > most.
    """
    n = len(frames)
    if n <= most:
        return frames
    # rounding can give a step more than asked for; its index would be n
    return frames[np.arange(0, n, n / most).astype(int)[:most]]
