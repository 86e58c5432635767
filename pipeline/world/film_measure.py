"""What can be measured in decoded frames: light, noise, steadiness, sharpness, colour, and where an outline is."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from pipeline.world.film import Subject, cover_shape

BLOCKS = 6
LOOKS = 6
"""Frames of a clip in which things are looked for, evenly spaced."""


@dataclass(frozen=True)
class Measures:
    """Brightness in 0..1, lengths in pixels of a picture 48 high."""

    brightness: float
    contrast: float
    """Range of brightness between the 5th and the 95th percentile."""
    clipped: float
    """Share of pixels that are black or white."""
    colour: float
    """Mean difference between a pixel's strongest and weakest channel."""
    noise: float
    """Spatial noise: median size of what a neighbourhood does not explain."""
    flicker: float
    """Spread of the whole picture's brightness from frame to frame, as a share of its mean."""
    morphing: float
    """Spread of patches' brightness against the whole picture, from frame to frame."""
    shake: float
    """How far the camera's step differs from its last step."""
    pan: float
    """The camera's mean step."""
    sharpness: float
    """Strong edges, relative to the contrast."""
    motion: float
    """Share of the picture that changes between the first and the last frames, noise apart."""
    jumpiness: float
    """How far the middle of the coloured things departs from a steady way."""


def measure(frames: np.ndarray) -> Measures:
    """Return the measures of frames, uint8 RGB (n, height, width, 3); what needs several frames is 0 for an image."""
    scaled = frames.astype(np.float32) / np.float32(255)
    # luma: clips carry colour at half the resolution
    grey = scaled @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = scaled.max(axis=3) - scaled.min(axis=3)
    unit = frames.shape[1] / 48
    mean = grey.mean(axis=(1, 2))
    calm = grey - mean[:, None, None]
    low, high = np.percentile(grey[:: max(1, len(grey) // 4)], (5, 95))
    # differenced along both axes, a smooth picture vanishes and noise of spread s leaves a median of about 1.35 s
    noise = float(np.median(abs(np.diff(np.diff(grey, axis=2), axis=1)))) / 1.35
    path = trace_camera(calm)
    return Measures(
        brightness=float(mean.mean()),
        contrast=float(high - low),
        clipped=float(((grey < 0.03) | (grey > 0.97)).mean()),
        colour=float(chroma.mean()),
        noise=noise,
        flicker=_measure_unsteadiness(mean) / max(float(mean.mean()), 0.05),
        morphing=_measure_morphing(calm),
        shake=_measure_unsteadiness(path) / unit,
        pan=float(np.hypot(*(path[-1] - path[0]))) / max(len(path) - 1, 1) / unit,
        sharpness=_measure_sharpness(grey),
        motion=_measure_motion(calm, noise),
        jumpiness=_measure_unsteadiness(_find_middle(chroma) - path) / unit,
    )


def _measure_unsteadiness(series: np.ndarray) -> float:
    """Return the spread of a series (n,) or a path (n, 2) around a smooth course: by second differences."""
    if len(series) < 3:
        return 0.0
    bent = np.diff(series, n=2, axis=0) ** 2
    return float(np.sqrt(bent.reshape(len(bent), -1).sum(axis=1).mean() / 6))


def _average_blocks(grey: np.ndarray) -> np.ndarray:
    n, height, width = grey.shape
    rows, columns = height // BLOCKS, width // BLOCKS
    return grey[:, : rows * BLOCKS, : columns * BLOCKS].reshape(n, BLOCKS, rows, BLOCKS, columns).mean(axis=(2, 4))


def _measure_morphing(calm: np.ndarray) -> float:
    if len(calm) < 3:
        return 0.0
    bent = np.diff(_average_blocks(calm), n=2, axis=0)
    return float(np.median(np.sqrt((bent**2).mean(axis=0) / 6)))


def trace_camera(calm: np.ndarray) -> np.ndarray:
    """Return how far the camera is from where it was in the middle frame, (n, 2) pixels: columns, rows.

    From profiles of brightness along the upper third and along the left and right edge, where subjects seldom are.
    """
    _, height, width = calm.shape
    columns = calm[:, : height // 3].mean(axis=1)
    rows = (calm[:, :, : width // 6].mean(axis=2) + calm[:, :, -(width // 6) :].mean(axis=2)) / 2
    return np.stack([_find_shifts(columns), _find_shifts(rows)], axis=1)


def _find_shifts(profiles: np.ndarray) -> np.ndarray:
    """Return the shift, in samples, at which each profile (n, length) fits the middle one best."""
    n, length = profiles.shape
    reach = length // 6
    inner = profiles[n // 2, reach:-reach]
    windows = np.lib.stride_tricks.sliding_window_view(profiles, length - 2 * reach, axis=1)
    centred = windows - windows.mean(axis=2, keepdims=True)
    error = ((centred - (inner - inner.mean())) ** 2).sum(axis=2)
    best = np.clip(error.argmin(axis=1), 1, 2 * reach - 1)
    profile = np.arange(n)
    left, here, right = error[profile, best - 1], error[profile, best], error[profile, best + 1]
    bend = np.maximum(left - 2 * here + right, 1e-9)
    return best - reach + np.clip((left - right) / (2 * bend), -1, 1)


def _measure_sharpness(grey: np.ndarray) -> float:
    """Return how much of the strongest edges happens within one pixel: towards 1 sharp, towards 1/3 blurred."""
    step, wide = abs(np.diff(grey, axis=2))[:, :, 1:-1], abs(grey[:, :, 3:] - grey[:, :, :-3])
    strong = wide >= np.percentile(wide, 99)
    return float(step[strong].sum() / max(wide[strong].sum(), 1e-3))


def _measure_motion(calm: np.ndarray, noise: float) -> float:
    if len(calm) < 4:
        return 0.0
    change = abs(calm[-2:].mean(axis=0) - calm[:2].mean(axis=0))
    return float((change > 0.06 + 2 * noise).mean())


def _find_middle(chroma: np.ndarray) -> np.ndarray:
    """Return the middle of the most coloured pixels in each frame, (n, 2): column, row."""
    level = np.maximum(1.1 * np.percentile(chroma, 88, axis=(1, 2), keepdims=True), 0.22)
    weight = np.maximum(chroma - level, 0)
    total = weight.sum(axis=(1, 2)) + 1e-6
    column = (weight.sum(axis=1) * np.arange(chroma.shape[2])).sum(axis=1) / total
    row = (weight.sum(axis=2) * np.arange(chroma.shape[1])).sum(axis=1) / total
    return np.stack([column, row], axis=1)


def pick_frames(frames: np.ndarray) -> np.ndarray:
    """Return the frames in which things are looked for, (LOOKS, height, width, 3) in 0..1, or fewer of a short clip."""
    picked = np.unique(np.linspace(0, len(frames) - 1, LOOKS).round().astype(int))
    return frames[picked].astype(np.float32) / np.float32(255)


def measure_likeness(frames: np.ndarray, subject: Subject) -> np.ndarray:
    """Return how well a subject is found in each of frames (n, height, width, 3): 1 for a perfect outline, 0 for none.

    The best place wins: share of the asked colour inside the outline, less the share in a rim around it.
    """
    match = match_colour(frames, subject.hue, subject.lightness)
    height, width = match.shape[1:]
    fit = np.fft.irfft2(
        np.fft.rfft2(match) * make_filter(subject.shape, subject.size, height, width), s=(height, width)
    )
    return fit.max(axis=(1, 2))


def match_colour(frames: np.ndarray, hue: int | None, lightness: float = 0.9) -> np.ndarray:
    """Return per pixel, 0 to 1, how much frames (n, height, width, 3) show a hue, or a grey of `lightness`."""
    red, green, blue = frames[..., 0], frames[..., 1], frames[..., 2]
    first, second = red - (green + blue) / 2, (green - blue) * np.float32(0.866)
    chroma = np.sqrt(first * first + second * second)
    if hue is None:
        grey = (red + green + blue) / 3
        grey_match = np.clip(1 - abs(grey - lightness) / 0.3, 0, 1)
        return grey_match * np.clip(1 - chroma / 0.25, 0, 1)
    angle = np.deg2rad(hue)
    along = (first * np.float32(np.cos(angle)) + second * np.float32(np.sin(angle))) / (chroma + np.float32(1e-3))
    strong = np.maximum(np.percentile(chroma, 97, axis=(1, 2), keepdims=True), 0.1)
    return np.clip((along - 0.8) / 0.15, 0, 1) * np.clip(chroma / strong * 1.4 - 0.4, 0, 1)


@lru_cache(maxsize=512)
def make_filter(shape: str, size: float, height: int, width: int) -> np.ndarray:
    """Return the conjugate spectrum of an outline's filter: its inside sums to 1, the rim around it to -1."""
    y = ((np.arange(height) + 0.5) / height - 0.5)[:, None]
    x = ((np.arange(width) + 0.5 - width / 2) / height)[None, :]
    inside = cover_shape(shape, x / size, y / size, size * height)
    wide = size * 1.3
    rim = np.clip(cover_shape(shape, x / wide, y / wide, wide * height) - inside, 0, 1)
    return np.conj(np.fft.rfft2(inside / inside.sum() - rim / rim.sum()))


def measure_dark_red(frames: np.ndarray) -> float:
    """Return the share of frames (n, height, width, 3) in 0..1 that is dark red."""
    red, green, blue = frames[..., 0], frames[..., 1], frames[..., 2]
    return float(((red > 0.15) & (red < 0.65) & (green < 0.3 * red) & (blue < 0.35 * red)).mean())


def measure_skin_pink(frames: np.ndarray) -> float:
    """Return the share of frames (n, height, width, 3) in 0..1 that has the colour of bare skin in these films."""
    red, green, blue = frames[..., 0], frames[..., 1], frames[..., 2]
    return float(((red > 0.75) & (abs(green - 0.75 * red) < 0.08 * red) & (abs(blue - 0.62 * red) < 0.1 * red)).mean())


def measure_black(frames: np.ndarray) -> float:
    """Return the share of frames (n, height, width, 3) in 0..1 that is black."""
    return float((frames.max(axis=3) < 0.08).mean())
