"""A thousand query files drawn by a seed: read right, or refused in one line."""

import os

from pipeline.curation.sources import join_frames, read_frames
from pipeline.runtime.io import DataError
from pipeline.text.clean import clean
from tests.support.drawn_files import Drawn, draw_file, write_drawn

FILES = 1000
"""a run; VPO_DRAWN_SERIES=3 draws the fourth thousand"""


def read(drawn: Drawn, folder, laptop) -> list[tuple[str, float | None]] | str:
    """Return (cleaned text, score) of each row that says anything, or the words of the refusal."""
    path = write_drawn(folder, drawn)
    params = laptop.queries.model_copy(update={"source": "file", "path": str(path), **drawn.params})
    try:
        frame = join_frames(read_frames(params))
    except DataError as fault:
        return str(fault)
    rows = zip(frame["text"], frame["unsafe_score"], frame["fault"], strict=True)
    outcomes = [(text, score) if fault is None else (f"fault: {fault}", None) for text, score, fault in rows]
    return [(clean(text), score) for text, score in outcomes if text]


def explain(drawn: Drawn, rows: list[tuple[str, float | None]] | str) -> str | None:
    """Return what is wrong with how a file was read, None where it is right."""
    if isinstance(rows, str):
        if "\n" in rows or len(rows) > 600:
            return f"refused in more than a line: {rows[:200]}"
        return f"a sound file was refused: {rows}" if drawn.must == "read" else None
    if drawn.must == "refuse":
        return f"read, where it is no file of queries: {rows[:3]}"
    scores = drawn.scores or [None] * len(drawn.texts)
    right = [(clean(text), score) for text, score in zip(drawn.texts, scores, strict=True)]
    if rows == right:
        return None
    odd = next((pair for pair in zip(rows, right, strict=False) if pair[0] != pair[1]), (len(rows), len(right)))
    return f"read wrong: {str(odd)[:300]}"


def test_a_drawn_file_is_read_right_or_refused_in_one_line(tmp_path, laptop, capsys):
    first = FILES * int(os.environ.get("VPO_DRAWN_SERIES", "0"))
    wrong = {}
    for seed in range(first, first + FILES):
        drawn = draw_file(seed)
        if why := explain(drawn, read(drawn, tmp_path, laptop)):
            wrong[seed] = (drawn.name, why)
    assert wrong == {}
