import shutil
from pathlib import Path

import numpy as np
import pytest
from click import ClickException
from click.testing import CliRunner

from pipeline.runtime.io import read_rows, write_rows
from pipeline.video.clips import decode, make_clip, rate
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.render import Render
from tests.support.rows import render_row
from tests.support.small_project import small_project
from vpo.clips import Manifest, choose, fits, join, main, write_beside


@pytest.fixture
def project(tmp_path, monkeypatch):
    small_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_arm_of_one_query_becomes_a_file_that_plays(project):
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 0, done.output
    (folder,) = (project / "results/clips").iterdir()
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["dpo.mp4", "original.mp4"]
    assert all(decode(path.read_bytes()).shape == (4, 16, 16, 3) for path in files)
    assert "query: a dog on grass" in done.output


def test_a_query_is_found_by_a_part_of_its_text(project):
    assert "query: an old mill" in CliRunner().invoke(main, ["--query", "MILL"]).output


def test_a_query_that_is_not_there_is_one_line(project):
    done = CliRunner().invoke(main, ["--query", "zebra"])
    assert done.exit_code == 1 and "no test query" in done.output


def a_pair(project, source="video"):
    """Return a pair of d_dpo; one of video is made of two prompts that have a clip."""
    path = project / "data/dpo/d_dpo.jsonl"
    pair = next(row for row in read_rows(path, DDpo) if row.source == source)
    if source == "video":
        one, other = [*read_rows(project / "data/dpo/render.parquet", Render)][:2]
        sides = {"chosen": one.prompt, "chosen_id": one.prompt_id}
        sides |= {"rejected": other.prompt, "rejected_id": other.prompt_id}
        pair_id = content_id(one.query_id, one.prompt, other.prompt, source)
        query = {"query_id": one.query_id, "query": one.query, "pair_id": pair_id}
        pair = pair.model_copy(update=sides | query | {"score_chosen": 0.75, "score_rejected": 0.25})
        write_rows(path, [pair], DDpo)
        (project / "data/dpo/d_video.jsonl").write_text("")
    return pair


def test_a_pair_lies_side_by_side_with_its_prompts_and_scores(project):
    pair = a_pair(project)
    done = CliRunner().invoke(main, [pair.pair_id])
    assert done.exit_code == 0, done.output
    chosen, rejected, both = (
        decode((project / f"results/clips/{pair.pair_id}/{name}.mp4").read_bytes())
        for name in ("chosen", "rejected", "side_by_side")
    )
    assert both.shape == (4, 16, 32, 3)
    for half, clip in ((both[:, :, :16], chosen), (both[:, :, 16:], rejected)):
        assert abs(half.astype(float) - clip).mean() < 6  # encoded once more
    assert f"chosen (score {pair.score_chosen:.3f}): {pair.chosen}" in done.output
    assert f"rejected (score {pair.score_rejected:.3f}): {pair.rejected}" in done.output


def test_a_pair_with_a_side_that_the_text_check_refused_finds_both_clips(project):
    pair = a_pair(project)
    path, lane = (project / "data" / name / "render.parquet" for name in ("dpo", "dpo_unchecked"))
    rows = list(read_rows(path, Render))
    shutil.copytree(path.with_suffix(""), lane.with_suffix(""))
    write_rows(path, [row for row in rows if row.prompt_id != pair.rejected_id], Render)
    assert CliRunner().invoke(main, [pair.pair_id]).exit_code == 1
    write_rows(lane, [row for row in rows if row.prompt_id == pair.rejected_id], Render)
    done = CliRunner().invoke(main, [pair.pair_id])
    assert done.exit_code == 0, done.output


def test_a_text_pair_has_no_clips_and_shows_its_prompts(project):
    pair = a_pair(project, "text")
    done = CliRunner().invoke(main, [pair.pair_id])
    assert done.exit_code == 1 and "is of text feedback" in done.stderr and pair.chosen in done.stderr


def test_a_pair_that_is_not_there_says_how_to_find_one(project):
    done = CliRunner().invoke(main, ["nothing"])
    assert done.exit_code == 1 and "no pair nothing; `vpo sql" in done.stderr


def test_another_clip_is_written_beside_and_never_over(tmp_path):
    assert write_beside(tmp_path, "dpo", b"one") == tmp_path / "dpo.mp4"
    assert write_beside(tmp_path, "dpo", b"two") == tmp_path / "dpo-2.mp4"
    assert write_beside(tmp_path, "dpo", b"one") == tmp_path / "dpo.mp4"
    assert (tmp_path / "dpo.mp4").read_bytes() == b"one" and len([*tmp_path.iterdir()]) == 2


def test_clips_of_two_sizes_are_joined(tmp_path):
    small, large = (make_clip(np.full((n, size, size, 3), 200, np.uint8), 8).content for n, size in ((3, 16), (4, 32)))
    assert decode(join(small, large)).shape == (3, 32, 48, 3)


def row_of(query, safety=False, **fields):
    row = render_row(query=query).model_copy(update={"safety": safety, **fields})
    return row.model_copy(update={"query_id": content_id(query)})


def test_a_query_is_wanted_by_its_id_or_a_part_of_its_text_and_else_a_harmless_one():
    row = row_of("A Dog on grass")
    assert [fits(row, query) for query in ("dog ON", content_id("A Dog on grass"), "cat", content_id("x"))] == [
        True, True, False, False,
    ]  # fmt: skip
    assert (
        fits(row, None) and not fits(row_of("a gun", safety=True), None) and fits(row_of("a gun", safety=True), "GUN")
    )


def test_the_first_query_that_every_arm_has_a_clip_of_is_chosen_with_the_first_clip_of_each():
    dog, cat, gun = row_of("a dog"), row_of("a cat"), row_of("a gun", safety=True)
    again = cat.model_copy(update={"video_id": "again"})
    manifests = {"sft": Manifest(Path("s"), [gun, dog, cat, again]), "dpo": Manifest(Path("d"), [again, gun, cat])}
    assert choose(manifests, None) == {"sft": cat, "dpo": again}
    assert choose(manifests, "gun") == {"sft": gun, "dpo": gun}
    with pytest.raises(ClickException, match="no test query with a clip of every arm fits 'dog'"):
        choose(manifests, "dog")
    with pytest.raises(ClickException, match="no such clip"):
        choose({"sft": Manifest(Path("s"), [gun])}, None)


def test_what_the_smaller_of_two_clips_lacks_is_black_below_it():
    small, large = (make_clip(np.full((4, size, size, 3), 200, np.uint8), 5).content for size in (16, 32))
    for joined, empty, full in (
        (join(small, large), np.s_[:, 20:, :12], np.s_[:, :, 20:]),
        (join(large, small), np.s_[:, 20:, 36:], np.s_[:, :, :28]),
    ):
        frames = decode(joined)
        assert frames[empty].mean() < 12 and frames[full].mean() > 180 and rate(joined) == 5


def test_a_pair_and_a_query_are_not_asked_for_together(project):
    done = CliRunner().invoke(main, ["pair", "--query", "dog"])
    assert done.exit_code == 2 and "a PAIR_ID or --query, not both" in done.stderr


def test_a_folder_of_ones_own_is_taken(project):
    done = CliRunner().invoke(main, ["--query", "old mill", "--out", "mine/clips"])
    assert done.exit_code == 0 and sorted(path.name for path in (project / "mine/clips").iterdir()) == [
        "dpo.mp4", "original.mp4",
    ]  # fmt: skip
    assert done.output.splitlines()[0] == "query: an old mill"
    assert f"  {project / 'mine/clips/dpo.mp4'}" in done.output.splitlines()
