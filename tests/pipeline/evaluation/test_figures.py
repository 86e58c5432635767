"""Figures of the evaluation."""

import hashlib
from dataclasses import replace
from itertools import combinations

import pytest

from pipeline.evaluation.figures import Sheet, draw_arms, draw_clips, lay_out_clips, write_caption
from pipeline.runtime.io import DataError, read_rows
from schemas.evaluate import Evaluate
from schemas.render import Render
from tests.support.small_project import queries, small_project


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("project")) / "data/eval/test"


def row(arm, metric, value):
    return Evaluate(
        suite="test", target="t", arm=arm, metric=metric, value=value, low=value - 1, high=value + 1, n=9, seeds=1,
        judge="j",
    )  # fmt: skip


def size(path):
    import matplotlib.image

    return matplotlib.image.imread(path).shape[:2]


def test_a_fifth_metric_begins_a_second_row_of_panels(tmp_path):
    names = ["reward", "words", "aligned", "unsafe", "refusal"]
    draw_arms(tmp_path / "four.png", [row("dpo", name, 1.0) for name in names[:4]], set())
    draw_arms(tmp_path / "five.png", [row("dpo", name, 1.0) for name in names], set())
    (low, wide), (high, as_wide) = size(tmp_path / "four.png"), size(tmp_path / "five.png")
    assert high > 1.8 * low and as_wide == wide


def a_sheet(folder, n_queries, arms=("dpo",), prompt=None):
    """Return the sheet of the first general queries; with `prompt` it stands in place of each clip's own."""
    shown = [query for query in queries("test") if not query.safety][:n_queries]
    clips = {arm: list(read_rows(folder / arm / "render.parquet", Render)) for arm in arms}
    if prompt:
        clips = {arm: [clip.model_copy(update={"prompt": prompt}) for clip in rows] for arm, rows in clips.items()}
    scores = {clip.video_id: 0.5 for rows in clips.values() for clip in rows}
    return Sheet(shown, clips, scores, folder)


def test_a_sheet_has_a_row_an_arm_and_two_columns_a_query(tmp_path, folder):
    one, two, arms = a_sheet(folder, 1), a_sheet(folder, 2), a_sheet(folder, 1, ("dpo", "original"))
    assert [count_pictures(sheet) for sheet in (one, two, arms)] == [(1, 2), (1, 4), (2, 2)]
    draw_clips(tmp_path / "one.png", one)
    draw_clips(tmp_path / "two.png", two)
    assert size(tmp_path / "two.png")[1] > 1.9 * size(tmp_path / "one.png")[1]


def count_pictures(sheet):
    """Return the rows and columns of axes that show a frame."""
    places = [axis.get_position() for axis in lay_out_clips(sheet).axes if axis.images]
    return len({round(place.y0, 6) for place in places}), len({round(place.x0, 6) for place in places})


def test_a_caption_has_the_score_and_the_beginning_of_the_prompt():
    assert write_caption("a $5 bill in the wind", 0.1234) == "score 0.123\na $5 bill in the wind"
    assert write_caption("a dog", None) == "no score\na dog"
    lines = write_caption(" ".join(["a red fox in deep snow"] * 40), 1.0).splitlines()
    assert len(lines) == 6 and lines[-1].endswith(" ...") and max(map(len, lines)) <= 50
    assert len(write_caption("x" * 1000, 1.0).splitlines()) == 6


def test_each_clip_of_the_sheet_has_its_own_caption_under_it(folder):
    sheet = a_sheet(folder, 2, ("original", "dpo"))
    captions = [axis.xaxis.label for axis in lay_out_clips(sheet).axes if axis.get_xlabel()]
    expected = [
        write_caption(next(clip.prompt for clip in sheet.clips[arm] if clip.query_id == query.query_id), 0.5)
        for arm in ("original", "dpo")
        for query in sheet.queries
    ]
    assert [caption.get_text() for caption in captions] == expected


def test_no_caption_covers_a_clip_or_another_or_leaves_the_sheet(folder):
    sheet = a_sheet(folder, 3, ("original", "dpo"), prompt="The camera stays calm and wide. " * 20)
    figure = lay_out_clips(sheet)
    figure.canvas.draw()
    texts = [text for axis in figure.axes for text in (axis.xaxis.label, axis._left_title) if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    boxes += [axis.get_window_extent() for axis in figure.axes]
    for box in boxes:
        assert figure.bbox.fully_containsx(box.x0) and figure.bbox.fully_containsx(box.x1)
        assert figure.bbox.fully_containsy(box.y0) and figure.bbox.fully_containsy(box.y1)
    assert [(one, other) for one, other in combinations(boxes, 2) if one.fully_overlaps(other)] == []


def test_a_clip_that_cannot_be_decoded_is_named(folder):
    sheet = a_sheet(folder, 1)
    shard = folder / "dpo/render/00000.tar"
    clips = []
    for one in sheet.clips["dpo"]:
        clip_hash = hashlib.sha256(shard.read_bytes()[one.offset : one.offset + 3]).hexdigest()[:32]
        clips.append(one.model_copy(update={"size": 3, "clip_hash": clip_hash}))
    with pytest.raises(DataError, match="cannot be decoded"):
        lay_out_clips(replace(sheet, clips={"dpo": clips}))
