"""Figures of `evaluate`: arms with their intervals, and a contact sheet of clips. Equal inputs give equal bytes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from pipeline.evaluation.arms import BETTER_HIGH, BETTER_LOW
from pipeline.runtime.io import DataError
from pipeline.runtime.pyplot import open_pyplot, save_figure
from pipeline.video.clips import BadClip, decode, read_clip, shard_folder
from schemas.evaluate import Evaluate
from schemas.queries import Query
from schemas.render import Render

COLUMNS = 4
PICTURE, GAP, MARGIN, TITLE, CAPTION = 1.6, 0.1, 0.3, 0.65, 0.9
"""inches of a contact sheet: a frame's width, between two, left of a row, above all, under a row (ours)"""
QUERY_LINES, PROMPT_LINES = 4, 5
"""lines that have room above and under a clip: they tell two prompts apart (ours)"""


def draw_arms(path: Path, rows: Iterable[Evaluate], shares: set[str]) -> None:
    """Draw one panel a metric, every arm as a dot with its 95 % interval; an arrow says which way is better."""
    by_metric = defaultdict(list)
    for row in rows:
        if row.versus is None:
            by_metric[row.metric].append(row)
    plt = open_pyplot()
    lines = -(-len(by_metric) // COLUMNS)
    figure, axes = plt.subplots(
        lines, COLUMNS, figsize=(3.4 * COLUMNS, 1.9 * lines), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (metric, of_arms) in zip(axes.flat, by_metric.items(), strict=False):
        axis.set_axis_on()
        scale = 100 if metric in shares else 1
        places = range(len(of_arms) - 1, -1, -1)
        axis.hlines(
            places, [row.low * scale for row in of_arms], [row.high * scale for row in of_arms], color="0.6", lw=2
        )
        axis.plot([row.value * scale for row in of_arms], list(places), "o", color="C0", markersize=4)
        axis.set_yticks(list(places), [row.arm for row in of_arms], fontsize=8)
        axis.set_ylim(-0.6, len(of_arms) - 0.4)
        axis.tick_params(axis="x", labelsize=7)
        axis.set_title(f"{metric}{' (%)' if scale == 100 else ''}{say_better(metric)}", fontsize=9)
        axis.grid(axis="x", color="0.9")
    save_figure(figure, path)


def say_better(metric: str) -> str:
    """Return which way a metric is better, "" where nobody can say."""
    if metric in BETTER_LOW:
        return ", less is better"
    if metric in BETTER_HIGH or metric.startswith(("reward", "dim_")):
        return ", more is better"
    return ""


@dataclass(frozen=True)
class Sheet:
    """What a contact sheet shows: queries, their clips by arm, and each clip's score by its video_id.

    The clips' shards lie beside <folder>/<arm>/render.parquet; a clip without a score has none.
    """

    queries: Sequence[Query]
    clips: Mapping[str, Sequence[Render]]
    scores: Mapping[str, float]
    folder: Path


def draw_clips(path: Path, sheet: Sheet) -> None:
    """Write a contact sheet as a picture."""
    save_figure(lay_out_clips(sheet), path)


def lay_out_clips(sheet: Sheet) -> Any:
    """Return a matplotlib figure with the first and the middle frame of each query's clip.

    A row an arm, two columns a query; the query stands above, score and prompt under each clip.
    """
    first = {arm: {clip.query_id: clip for clip in reversed(clips)} for arm, clips in sheet.clips.items()}
    shown = {arm: [by_query[query.query_id] for query in sheet.queries] for arm, by_query in first.items()}
    frames = {arm: [_read_frames(sheet.folder / arm, clip) for clip in clips] for arm, clips in shown.items()}
    figure, axes = _open_grid(max(1, len(shown)), 2 * max(1, len(sheet.queries)), _find_height(frames.values()))
    for row, (arm, clips) in zip(axes, shown.items(), strict=False):
        row[0].set_ylabel(arm, fontsize=9)
        for place, clip in enumerate(clips):
            pair = row[2 * place : 2 * place + 2]
            for axis, frame in zip(pair, frames[arm][place], strict=True):
                axis.imshow(frame, interpolation="nearest")
            # a person's or a model's text is data: no $...$ is read as mathematics
            text = write_caption(clip.prompt, sheet.scores.get(clip.video_id))
            pair[0].set_xlabel(text, fontsize=7, loc="left", parse_math=False)
    for place, query in enumerate(sheet.queries):
        text = "\n".join(wrap(query.query, 38, max_lines=QUERY_LINES, placeholder=" ..."))
        axes[0][2 * place].set_title(text, fontsize=8, loc="left", parse_math=False)
    return figure


def write_caption(prompt: str, score: float | None) -> str:
    """Return the lines under a clip: its score, and the beginning of the prompt that it was made of."""
    first = "no score" if score is None else f"score {score:.3f}"
    return "\n".join([first, *wrap(prompt, 50, max_lines=PROMPT_LINES, placeholder=" ...")])


def _find_height(frames: Iterable[Iterable[tuple[np.ndarray, np.ndarray]]]) -> float:
    """Return the inches that the highest frame needs."""
    return PICTURE * max((one.shape[0] / one.shape[1] for clips in frames for one, _ in clips), default=1.0)


def _open_grid(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    """Return a figure and its axes, each of `height` inches; matplotlib's own layouts cut long captions off."""
    wide = MARGIN + columns * (PICTURE + GAP)
    high = TITLE + rows * (height + CAPTION)
    grid = {
        "left": MARGIN / wide, "right": 1 - GAP / wide, "wspace": GAP / PICTURE,
        "top": 1 - TITLE / high, "bottom": CAPTION / high, "hspace": CAPTION / height,
    }  # fmt: skip
    figure, axes = open_pyplot().subplots(rows, columns, figsize=(wide, high), squeeze=False, gridspec_kw=grid)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def _read_frames(folder: Path, clip: Render) -> tuple[np.ndarray, np.ndarray]:
    try:
        frames = decode(read_clip(shard_folder(folder / "render.parquet"), clip))
    except BadClip as fault:
        raise DataError(f"{folder}: clip {clip.video_id} cannot be decoded: {fault}") from None
    return frames[0], frames[len(frames) // 2]
