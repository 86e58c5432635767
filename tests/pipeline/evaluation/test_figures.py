"""Figures of the evaluation."""

import hashlib

import pytest

from pipeline.evaluation.figures import draw_arms, draw_clips
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


def test_a_sheet_has_a_row_an_arm_and_two_columns_a_query(tmp_path, folder):
    test = [one for one in queries("test") if not one.safety]
    clips = {"dpo": list(read_rows(folder / "dpo/render.parquet", Render))}
    draw_clips(tmp_path / "one.png", test[:1], clips, folder)
    draw_clips(tmp_path / "two.png", test[:2], clips, folder)
    assert size(tmp_path / "two.png")[1] == pytest.approx(2 * size(tmp_path / "one.png")[1], rel=0.01)


def test_a_clip_that_cannot_be_decoded_is_named(tmp_path, folder):
    test = [one for one in queries("test") if not one.safety]
    shard = folder / "dpo/render/00000.tar"
    clips = []
    for one in read_rows(folder / "dpo/render.parquet", Render):
        clip_hash = hashlib.sha256(shard.read_bytes()[one.offset : one.offset + 3]).hexdigest()[:32]
        clips.append(one.model_copy(update={"size": 3, "clip_hash": clip_hash}))
    with pytest.raises(DataError, match="cannot be decoded"):
        draw_clips(tmp_path / "a.png", test[:1], {"dpo": clips}, folder)
