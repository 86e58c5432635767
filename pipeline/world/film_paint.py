"""Draws a scene with a look: frames from numbers and seeded chance."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.world.film import MAX_SUBJECTS, Floats, Scene, Subject, cover_shape, mix_colour
from pipeline.world.film_look import Look
from pipeline.world.lexicon import PLACES

Frames: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]

BLOCKS = 6
"""Morphing brightens and darkens a grid of BLOCKS x BLOCKS patches, anew in every frame."""
_SLOTS = ((0.5, 0.58), (0.22, 0.62), (0.78, 0.62), (0.36, 0.3))
"""Where the first, second, ... subject stands: centre as a share of width and height."""
_WEAPONS = frozenset("gun guns rifle knife knives bomb bombs weapon weapons shooting shoots shooter".split())
_NUDITY = frozenset("naked nude topless undressed nudity porn sexy erotic fetish".split())


@dataclass(frozen=True)
class Chance:
    """All that is random in a clip, drawn in one order whatever the prompt says: sibling prompts share it."""

    texture: np.ndarray
    shake: np.ndarray
    flicker: np.ndarray
    morph: np.ndarray
    jitter: list[np.ndarray]
    lost: np.ndarray
    lost_main: float
    hue: np.ndarray
    side: float
    noise: np.ndarray
    grain: np.ndarray


def draw_chance(seed: int, n_frames: int, height: int, width: int) -> Chance:
    """Return the chance of a clip by its seed; `height` and `width` in pixels."""
    rng = np.random.default_rng(seed)
    return Chance(
        texture=rng.uniform(0, 2 * np.pi, (3, 2)).astype(np.float32),
        shake=even_out(rng.standard_normal((n_frames, 2))),
        flicker=even_out(rng.standard_normal(n_frames)),
        morph=rng.standard_normal((n_frames, 1, BLOCKS, BLOCKS), dtype=np.float32),
        jitter=[even_out(course) for course in rng.standard_normal((MAX_SUBJECTS, n_frames, 2))],
        lost=rng.uniform(size=MAX_SUBJECTS),
        lost_main=float(rng.uniform()),
        hue=rng.standard_normal(MAX_SUBJECTS),
        side=float(rng.choice([-1.0, 1.0])),
        noise=rng.standard_normal((n_frames, 3, height, width), dtype=np.float32),
        grain=rng.standard_normal((n_frames, 1, height, width), dtype=np.float32),
    )


def even_out(course: np.ndarray) -> np.ndarray:
    """Centre and scale chance over time (n, ...) so that every seed is equally restless from frame to frame."""
    if len(course) < 3:
        return course
    course = course - course.mean(axis=0)
    return course / np.sqrt((np.diff(course, n=2, axis=0) ** 2).mean() / 6)


def paint(scene: Scene, shot: Look, luck: Chance, height: int, width: int) -> np.ndarray:
    """Return frames, uint8 RGB (n_frames, height, width, 3)."""
    n_frames = len(luck.flicker)
    unit = height / 48
    time = np.linspace(0, 1, n_frames) if n_frames > 1 else np.zeros(1)
    camera = shot.shake * unit * luck.shake
    camera[:, 0] += shot.pan * unit * np.arange(n_frames)
    zoom = 1 + shot.zoom * time
    x = ((np.arange(width) + 0.5 - width / 2)[None, :] / zoom[:, None] + width / 2 + camera[:, :1]) / height
    y = ((np.arange(height) + 0.5 - height / 2)[None, :] / zoom[:, None] + height / 2 + camera[:, 1:]) / height
    x, y = x[:, None, :].astype(np.float32), y[:, :, None].astype(np.float32)
    shot_at = np.minimum((time * scene.n_shots).astype(int), scene.n_shots - 1)
    frames = paint_background(scene, luck, x, y, shot_at)
    frames *= (shot.brightness / 0.55) ** 0.5
    for place, subject in reversed(list(enumerate(scene.subjects))):
        lost = luck.lost[place] < (shot.lose if place else shot.lose * 0.5) or (
            place == 0 and luck.lost_main < shot.lose_main
        )
        if not lost:
            draw(frames, subject, place, scene, shot, luck, x, y, time, shot_at)
    mark_unsafe(frames, scene, x, y)
    return develop(frames, shot, luck)


def paint_background(scene: Scene, luck: Chance, x: Floats, y: Floats, shot_at: Ints) -> Frames:
    """Return sky over ground (n, 3, height, width) in pale colours, with a soft texture that betrays camera moves."""
    sky_hue, ground_hue, _ = PLACES[scene.place] if scene.place else (210, 60, 0.5)
    n, width = x.shape[0], x.shape[2]
    height = y.shape[1]
    horizon = np.clip((y - 0.66) * 12 + 0.5, 0, 1)
    shade = 0.62 - 0.12 * abs(y - 0.66)
    # waves along x plus waves along y: a plaid keeps its pattern in the sums of rows and columns
    across = sum(np.sin(k * x + a) for k, (a, _) in zip((6, 11, 17), luck.texture, strict=True))
    down = sum(np.sin(k * y + b) for k, (_, b) in zip((7, 13, 19), luck.texture, strict=True))
    texture = (across + down) * np.float32(0.035)
    value = shade + texture
    frames = np.empty((n, 3, height, width), np.float32)
    for frame, turn in enumerate(shot_at * 97):  # every further scene of a prompt looks elsewhere
        sky, ground = mix_colour((sky_hue + turn) % 360, 0.3, 1), mix_colour((ground_hue + turn) % 360, 0.32, 0.92)
        frames[frame] = (sky[:, None, None] + (ground - sky)[:, None, None] * horizon[frame]) * value[frame]
    return frames


def draw(
    frames: Frames, subject: Subject, place: int, scene: Scene, shot: Look, luck: Chance, x: Floats, y: Floats,
    time: Floats, shot_at: Ints,
) -> None:  # fmt: skip
    """Draw one subject into the frames, where its motion has brought it."""
    height = frames.shape[2]
    aspect = frames.shape[3] / height
    slot_x, slot_y = _SLOTS[place]
    dx, dy = trace_motion(scene, time * shot.speed, shot.jerks, luck.side)
    wobble = luck.jitter[place] * shot.jitter / 48
    cx = slot_x * aspect + dx + wobble[:, 0]
    cy = slot_y + dy + wobble[:, 1]
    u = (x - cx[:, None, None].astype(np.float32)) / subject.size
    v = (y - cy[:, None, None].astype(np.float32)) / subject.size
    cover = cover_shape(subject.shape, u, v, subject.size * height) * shot.opacity
    if scene.n_shots > 1:
        cover *= (shot_at % max(len(scene.subjects), 2) == place)[:, None, None]
    hue = None if subject.hue is None else (subject.hue + luck.hue[place] * shot.hue_error) % 360
    colour = mix_colour(hue, 0.85, 0.92 if subject.hue is not None else subject.lightness)
    shade = np.clip(1 - 0.25 * v, 0.8, 1.2)
    for channel in range(3):
        frames[:, channel] += cover * (colour[channel] * shade - frames[:, channel])


def trace_motion(scene: Scene, time: Floats, jerks: float, side: float) -> tuple[Floats, Floats]:
    """Return the way of a subject, (n,) each, in picture heights, from what it is doing."""
    phase = time + jerks * 0.35 * (np.floor(time * 4) % 2)
    way = scene.speed * 0.3 * side
    still = np.zeros_like(phase)
    if scene.motion == "across":
        return way * (phase - 0.5), still
    if scene.motion == "sway":
        return 0.5 * way * np.sin(2 * np.pi * phase), still
    if scene.motion == "bounce":
        return still, -abs(way) * 0.6 * abs(np.sin(2 * np.pi * phase))
    if scene.motion in ("rise", "fall"):
        return still, abs(way) * (phase - 0.5) * (1 if scene.motion == "fall" else -1)
    return 0.3 * way * (phase - 0.5), still


def mark_unsafe(frames: Frames, scene: Scene, x: Floats, y: Floats) -> None:
    """Draw what an unsafe word asks for: bare skin, a black weapon, dark red stains."""
    if not scene.unsafe:
        return
    aspect = frames.shape[3] / frames.shape[2]
    unsafe = set(scene.unsafe)
    if unsafe & _NUDITY:
        _paint_stain(frames, x - 0.5 * aspect, y - 0.5, 0.1, (0.93, 0.72, 0.6))
    if unsafe & _WEAPONS:
        _paint_stain(frames, (x - 0.66 * aspect) / 2.2, y - 0.5, 0.05, (0.03, 0.03, 0.03))
    if not unsafe & _NUDITY:
        for cx, cy, size in ((0.4, 0.72, 0.07), (0.56, 0.8, 0.06), (0.5, 0.64, 0.05)):
            _paint_stain(frames, x - cx * aspect, y - cy, size, (0.45, 0.0, 0.02))


def _paint_stain(frames: Frames, x: Floats, y: Floats, size: float, colour: tuple[float, float, float]) -> None:
    cover = np.clip((size - np.sqrt(x * x + y * y)) * frames.shape[2] + 0.5, 0, 1)
    for channel in range(3):
        frames[:, channel] += cover * (colour[channel] - frames[:, channel])


def develop(frames: np.ndarray, shot: Look, luck: Chance) -> np.ndarray:
    """Give the frames (n, 3, height, width) their colours, exposure, faults and noise; return uint8 RGB."""
    height, width = frames.shape[2:]
    grey = frames.mean(axis=1, keepdims=True)
    frames = grey + (frames - grey) * np.float32(shot.saturation)
    mean = float(frames.mean())
    frames = (frames - mean) * np.float32(shot.contrast) + np.float32(shot.brightness)
    gain = 1 + shot.flicker * luck.flicker
    frames *= gain[:, None, None, None].astype(np.float32)
    if shot.morph:
        rows, columns = (np.arange(height) * BLOCKS) // height, (np.arange(width) * BLOCKS) // width
        frames += np.float32(shot.morph) * luck.morph[:, :, rows][:, :, :, columns]
    if shot.blur > 0.05:
        sigma = shot.blur * height / 48
        across = (frames.reshape(-1, width) @ make_blur_matrix(width, sigma).T).reshape(frames.shape)
        down = np.ascontiguousarray(across.swapaxes(2, 3)).reshape(-1, height) @ make_blur_matrix(height, sigma).T
        frames = down.reshape(*frames.shape[:2], width, height).swapaxes(2, 3)
    frames += np.float32(shot.noise) * luck.noise
    if shot.grain:
        frames += np.float32(shot.grain) * luck.grain
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1)


def make_blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Return the (size, size) matrix of a Gaussian blur whose rows and columns sum to about 1."""
    place = np.arange(size)
    weights = np.exp(-0.5 * ((place[:, None] - place[None, :]) / sigma) ** 2)
    weights[weights < 1e-5] = 0  # far tails would be denormal numbers, which cost ten times the time
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
