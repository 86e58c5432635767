import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline import critique, render, reward
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore
from schemas.render import Render
from tests.support.gpu_plans import DPO, make, rows, run, write, write_rollouts
from tests.support.small_project import ROOT
from vpo.plan import main
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner, total
from vpo.planning.gpu_cost import Cost, GpuRow
from vpo.recipe import merge

pytestmark = pytest.mark.slow


HUB = {"backend": "diffusers", "model": "zai-org/CogVideoX-2b", "revision": "0" * 40, "n_frames": None, "height": None,
       "width": None, "frames_per_second": None}  # fmt: skip


def counts(row):
    return row.wanted, row.in_store, row.to_make


def test_what_is_planned_is_what_the_stages_then_make(unrendered):
    write(reward={"replicate": 0.9})
    make(critique)
    planned = rows()
    make(render)
    made = list(read_rows(DPO[2], Render))
    assert any(row.replicate for row in made) and len(made) > 6
    assert counts(planned["render@dpo"]) == (len(made), 0, len(made))
    for model in ("checklist", "dims"):
        assert counts(planned["reward@dpo", model]) == (len(made), 0, len(made))


def test_what_the_text_check_refuses_is_planned_as_it_is_then_rendered(unrendered):
    write_rollouts(("a red", "a bloody"))
    make(critique)
    row = rows()["render_unchecked@dpo_unchecked"]
    lane = "data/dpo_unchecked/render.parquet"
    run(render, "--replicate", "--refused", "--critique", DPO[1], DPO[0], lane)
    made = list(read_rows(lane, Render))
    assert made and counts(row) == (len(made), 0, len(made))
    scored = rows()["reward_unchecked@dpo_unchecked", "dims"]
    assert scored.wanted == len(made)
    later = rows(changed={"sft"})["render_unchecked@dpo_unchecked"]
    assert counts(later) == (pytest.approx(16 * 0.35), 0, pytest.approx(16 * 0.35))
    assert "35% of the prompts are refused by the text check: assumed" in later.notes


def distinct_scores():
    return len({(row.frames_hash, row.query) for row in read_rows(DPO[2], Render)})


def test_what_is_in_the_store_is_not_made_again(unrendered):
    make(critique, render)
    n, scores = len(list(read_rows(DPO[2], Render))), distinct_scores()
    found = rows()
    assert counts(found["render@dpo"]) == (n, n, 0)
    assert counts(found["reward@dpo", "dims"]) == (n, n - scores, scores)
    make(reward)
    assert counts(rows()["reward@dpo", "dims"]) == (n, n, 0)


def test_a_clip_whose_file_is_gone_is_made_again(unrendered):
    make(critique, render)
    before, clips = rows()["render@dpo"], ClipStore()
    clips.path(next(iter(read_rows(DPO[2], Render))).video_id).unlink()
    after = rows()["render@dpo"]
    assert (after.wanted, after.to_make) == (before.wanted, 1)


def test_a_clip_of_two_arms_is_made_and_scored_once(unrendered):
    found = rows()
    assert counts(found["render_eval@test-original"]) == (5, 0, 5)
    assert counts(found["render_eval@test-dpo"]) == (5, 5, 0)
    assert counts(found["reward_eval@test-original", "dims"]) == (5, 0, 5)
    assert counts(found["reward_eval@test-dpo", "dims"]) == (5, 5, 0)


def test_rows_of_a_changed_policy_are_counted_and_not_looked_up(unrendered):
    make(critique, render)
    row = rows(changed={"sft"})["render@dpo"]
    assert counts(row) == (pytest.approx(16 * 0.65), 0, pytest.approx(16 * 0.65))
    assert row.rows_from == "4 for each query of data/queries/dpo.jsonl"
    assert "65% of the prompts pass the text check: assumed" in row.notes


def test_a_stage_that_nothing_has_changed_for_makes_nothing_and_its_clips_are_scored(unrendered):
    make(critique, render)
    n, scores = len(list(read_rows(DPO[2], Render))), distinct_scores()
    found = rows(changed={"reward@dpo"}, store=Store(unrendered / "empty"))
    assert counts(found["render@dpo"]) == (n, n, 0) and found["render@dpo"].notes == ["unchanged: does not run"]
    assert counts(found["reward@dpo", "dims"]) == (n, n - scores, scores)


def test_the_replicates_of_rows_to_come_are_counted(unrendered):
    write(reward={"replicate": 0.5})
    assert rows(changed={"sft"})["render@dpo"].wanted == pytest.approx(16 * 0.65 * 1.5)


def test_an_offline_backend_costs_nothing_on_a_gpu_and_what_it_takes_of_a_cpu_is_unknown_until_it_ran(unrendered):
    make(critique)
    row = rows()["render@dpo"]
    assert (row.gpu_hours, row.gpu_gigabytes, row.cpu_hours, row.seconds_each) == (0, 0, None, None)
    assert row.source == "offline: nothing on a GPU" and row.disk_gigabytes is None
    make(render)
    for path in ClipStore().store.root.glob("files/*/*.mp4"):
        path.unlink()
    row = rows()["render@dpo"]
    assert row.source == "measured on cpu"
    assert row.cpu_hours == pytest.approx(row.to_make * row.seconds_each / 3600)


def test_what_nobody_knows_is_said_and_not_counted_as_nothing():
    known = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=80).costs(Cost(45.0, "", "H100"), on_cpu=False)
    unknown = GpuRow("reward@dpo", "scores", "videoscore", "vs", to_make=80).costs(None, on_cpu=False)
    assert unknown.gpu_hours is None and unknown.source == "unknown: run vpo plan --warm-up"
    assert total([known, unknown])["gpu_hours"] == 1.0
    assert total([known, unknown])["unknown"] == ["reward@dpo vs"]


def test_a_model_that_is_not_on_this_machine_has_published_seconds_and_memory(unrendered):
    write(render=HUB)
    make(critique)
    row = rows()["render@dpo"]
    assert row.source == "published for H100" and row.seconds_each == 45
    assert row.gpu_hours == pytest.approx(row.to_make * 45 / 3600) and row.to_make > 3
    assert (row.in_store, row.gpu_gigabytes) == (None, 12.5)
    assert "the store cannot be asked" in row.notes[0]
    assert "render.offload none takes more: GPU gigabytes are published with offload model" in row.notes


def test_half_the_steps_are_half_the_seconds(unrendered):
    write(render=HUB | {"num_inference_steps": 25})
    row = rows()["render_eval@test-original"]
    assert row.seconds_each == 22.5 and "times 0.5 for steps and pixels" in row.source


def plan(*options):
    done = CliRunner().invoke(main, ["--json", "--no-dvc", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["gpu"]


def test_the_table_says_hours_and_where_they_are_from(unrendered):
    write(render=HUB)
    done = CliRunner().invoke(main, ["--no-dvc"])
    assert done.exit_code == 0, done.output
    stages = "render_eval@test-original, render_eval@test-dpo, render@dpo, render_unchecked@dpo_unchecked"
    assert f"seconds each: published for H100 ({stages})" in done.output
    assert "GPU-hours, unknown CPU-hours, unknown GB of disk" in done.output


def test_a_plan_keeps_no_speed_and_makes_no_clip(unrendered, vpo_home):
    plan()
    assert not (vpo_home / "speeds").exists() and not list(Store().root.glob("files/*/*.mp4"))


@pytest.mark.parametrize("recipe", ["vpo-cogvideox-2b", "vpo-cogvideox-5b", "prompt-a-video"])
def test_under_a_papers_recipe_every_row_has_hours_and_says_what_they_assume(tmp_path, vpo_home, monkeypatch, recipe):
    for name in ("pipeline", "train", "recipes", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    yaml = YAML(typ="safe")
    tree = yaml.load((ROOT / "params.yaml").read_text())
    list(merge(tree, yaml.load((ROOT / f"recipes/{recipe}.yaml").read_text())))
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(json.dumps(tree))
    planner = Planner(load_params(Path("params.yaml")), Store())
    planner.estimates()
    rows = GpuPlanner(planner).rows()
    assert total(rows)["unknown"] == []
    units = {row.unit: row for row in rows if row.gpu_hours}
    assert units.keys() == {"clips", "scores", "tokens", "prompts"}
    assert all(units[unit].source.startswith("assumed: ") for unit in ("scores", "tokens", "prompts"))
