"""Figures of `evaluate`: arms with their intervals, and a contact sheet of clips. Equal inputs give equal bytes."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from textwrap import shorten, wrap

import numpy as np

from pipeline.evaluation.arms import BETTER_HIGH, BETTER_LOW
from pipeline.runtime.io import DataError
from pipeline.runtime.pyplot import open_pyplot, save_figure
from pipeline.video.clips import BadClip, decode, read_clip, shard_folder
from schemas.evaluate import Evaluate
from schemas.queries import Query
from schemas.render import Render

COLUMNS = 4


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


def draw_clips(path: Path, queries: list[Query], clips: dict[str, list[Render]], folder: Path) -> None:
    """Draw the first and the middle frame of each query's clip: a row an arm, two columns a query, its text above.

    `clips` are by arm; their shards lie beside <folder>/<arm>/render.parquet.
    """
    plt = open_pyplot()
    wide = max(1, len(queries)) * 2
    figure, axes = plt.subplots(
        max(1, len(clips)), wide, figsize=(1.7 * wide, 1.7 * len(clips) + 0.8), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for row, (name, rendered) in zip(axes, clips.items(), strict=False):
        first = {clip.query_id: clip for clip in reversed(rendered)}
        row[0].set_ylabel(name, fontsize=9)
        for place, query in enumerate(queries):
            for axis, frame in zip(row[2 * place :], _frames(folder / name, first[query.query_id]), strict=False):
                axis.imshow(frame, interpolation="nearest")
    for place, query in enumerate(queries):
        # a user's text is data: no $...$ is read as mathematics
        text = "\n".join(wrap(shorten(query.query, 120, placeholder=" ..."), 38))
        axes[0][2 * place].set_title(text, fontsize=8, loc="left", parse_math=False)
    save_figure(figure, path)


def _frames(folder: Path, clip: Render) -> tuple[np.ndarray, np.ndarray]:
    try:
        frames = decode(read_clip(shard_folder(folder / "render.parquet"), clip))
    except BadClip as fault:
        raise DataError(f"{folder}: clip {clip.video_id} cannot be decoded: {fault}") from None
    return frames[0], frames[len(frames) // 2]
