import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import critique, render
from pipeline.runtime.io import read_rows
from pipeline.runtime.store import Store
from schemas.render import Render
from tests.support.gpu_plans import DPO, make, rows, write
from vpo.plan import main

pytestmark = pytest.mark.slow


HUB = {"backend": "diffusers", "model": "zai-org/CogVideoX-2b", "revision": "0" * 40, "n_frames": None, "height": None,
       "width": None, "frames_per_second": None}  # fmt: skip


def distinct_scores():
    return len({(row.frames_hash, row.query) for row in read_rows(DPO[2], Render)})


def plan(*options):
    done = CliRunner().invoke(main, ["--json", "--no-dvc", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["gpu"]


def test_a_warm_up_makes_and_scores_the_first_clips_and_measures_them(unrendered):
    make(critique)
    before = rows()["render@dpo"]
    gpu = plan("--warm-up", "3")
    found = {(row["stage"], row["model"]): row for row in gpu["stages"]}
    row = found["render@dpo", "film"]
    assert (row["in_store"], row["to_make"]) == (3, before.wanted - 3)
    assert row["source"] == "measured on cpu"
    assert row["cpu_hours"] == pytest.approx(row["to_make"] * row["seconds_each"] / 3600)
    sizes = [path.stat().st_size for path in Store().root.glob("files/*/*.mp4")]
    assert row["disk_gigabytes"] == pytest.approx(2 * row["to_make"] * sum(sizes) / 3 / 1e9)
    for model in ("checklist", "dims"):
        assert found["reward@dpo", model]["in_store"] >= 3 and found["reward@dpo", model]["seconds_each"] > 0
    made = {path.stem for path in Store().root.glob("files/*/*.mp4")}
    make(render)
    assert len(made) == 3 and made < {row.video_id for row in read_rows(DPO[2], Render)}


@pytest.mark.slow
def test_a_warm_up_measures_the_real_renderer_and_the_plan_finds_its_clips(unrendered):
    from tests.support import tiny_pipelines

    folder = tiny_pipelines.cogvideox(unrendered / "cog")
    size = {"n_frames": 9, "height": 64, "width": 64, "num_inference_steps": 1, "max_sequence_length": 16}
    write(render=HUB | size | {"model": str(folder), "revision": None, "dtype": "float32"})
    make(critique)
    before = rows()["render@dpo"]
    assert before.source == "unknown: run vpo plan --warm-up"  # the family's seconds are of real sizes
    assert (before.gpu_hours, before.in_store) == (None, 0)
    plan("--warm-up", "3")
    after = rows()["render@dpo"]
    assert (after.in_store, after.to_make) == (3, before.to_make - 3)
    assert after.source.startswith("measured on ") and after.seconds_each > 0


def test_a_second_warm_up_goes_on_where_the_first_ended(unrendered):
    make(critique)
    plan("--warm-up", "2")
    plan("--warm-up", "2")
    assert rows()["render@dpo"].in_store == 4


def test_clips_that_are_there_are_scored_where_none_is_missing(unrendered):
    make(critique, render)
    plan("--warm-up", "2")
    assert rows()["reward@dpo", "dims"].to_make == distinct_scores() - 2


def test_without_rollouts_a_warm_up_takes_test_queries_as_they_are(unrendered):
    Path("data/dpo/rollout.jsonl").unlink()
    plan("--warm-up", "2")
    found = rows()
    assert found["render_eval@test-original"].in_store == 2 and found["reward_eval@test-original", "dims"].in_store == 2


def test_a_warm_up_without_any_prompt_says_what_to_do(unrendered):
    for name in ("data/dpo/rollout.jsonl", "data/queries/test.jsonl"):
        Path(name).unlink()
    done = CliRunner().invoke(main, ["--no-dvc", "--warm-up", "2"])
    assert done.exit_code == 1 and "run `dvc repro queries`" in done.output
