"""Frames that tests draw."""

import numpy as np


def moving(seed=0, n=6, height=32, width=48) -> np.ndarray:
    """Return blocks of colour that move to the right, uint8 RGB (n, height, width, 3); other ones for another seed."""
    picture = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), np.uint8)
    picture = picture.repeat(8, axis=0).repeat(8, axis=1)
    return np.stack([np.roll(picture, at, axis=1) for at in range(n)])
