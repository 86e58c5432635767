import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import critique, render, reward
from pipeline.runtime.io import read_rows, write_rows
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from schemas.render import Render
from schemas.rollout import Rollout
from tests.support.small_project import ROOT, prompt, queries, small_project, write_params
from vpo.plan import main
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner

pytestmark = pytest.mark.slow


HUB = {"backend": "diffusers", "model": "zai-org/CogVideoX-2b", "revision": "0" * 40, "n_frames": None, "height": None,
       "width": None, "frames_per_second": None}  # fmt: skip


DPO = ("data/dpo/rollout.jsonl", "data/dpo/critique.jsonl", "data/dpo/render.parquet", "data/dpo/reward.parquet")


LONG = (
    ", in soft morning light, while the camera slowly glides closer and keeps calm; the colours are warm, the "
    "background is quiet, every detail is sharp, and the whole scene stays steady from the first moment to the last."
)


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    """A small project with the graph; nothing is rendered, no query is read from a source."""
    folder = tmp_path / "project"
    (folder / "pipeline").mkdir(parents=True)
    small_project(folder)
    for name in ("templates", "backends"):
        (folder / "pipeline" / name).symlink_to(ROOT / "pipeline" / name)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (folder / "questions.jsonl").write_text((ROOT / "pipeline/backends/reward/questions.jsonl").read_text())
    monkeypatch.chdir(folder)
    write()
    # long enough for the offline critic, but for those of the query that is not harmless
    rollouts = [
        Rollout(**prompt(row, "sft", f" with {('a red', 'two blue')[k]} umbrella{LONG}", k))
        for row in queries("dpo")
        for k in range(2)
    ]
    write_rows(Path(DPO[0]), rollouts, Rollout)
    return folder


def write(**sections):
    sections.setdefault("queries", {"source": "file", "path": "none.jsonl"})
    sections.setdefault("reward", {"replicate": 0.0})
    return write_params(Path(), **sections)


def rows(changed=None, store=None):
    """Return the rows by (stage, model), and by stage where there is one model."""
    planner = Planner(load_params("params.yaml"), store or Store(), changed)
    planner.estimates()
    found = GpuPlanner(planner).rows()
    return {(row.stage, row.model): row for row in found} | {row.stage: row for row in found}


def run(stage, *arguments):
    done = CliRunner().invoke(stage.main, arguments)
    assert done.exit_code == 0, done.output


def make(*stages):
    rollouts, verdicts, clips, scores = DPO
    for stage in stages:
        if stage is critique:
            run(critique, rollouts, verdicts)
        elif stage is render:
            run(render, "--replicate", "--critique", verdicts, rollouts, clips)
        else:
            run(reward, clips, scores)


def distinct_scores():
    return len({(row.frames_hash, row.query) for row in read_rows(DPO[2], Render)})


def plan(*options):
    done = CliRunner().invoke(main, ["--json", "--no-dvc", *options])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["gpu"]


def test_a_warm_up_makes_and_scores_the_first_clips_and_measures_them(project):
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
def test_a_warm_up_measures_the_real_renderer_and_the_plan_finds_its_clips(project):
    from tests.support import tiny_pipelines

    folder = tiny_pipelines.cogvideox(project / "cog")
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


def test_a_second_warm_up_goes_on_where_the_first_ended(project):
    make(critique)
    plan("--warm-up", "2")
    plan("--warm-up", "2")
    assert rows()["render@dpo"].in_store == 4


def test_clips_that_are_there_are_scored_where_none_is_missing(project):
    make(critique, render)
    plan("--warm-up", "2")
    assert rows()["reward@dpo", "dims"].to_make == distinct_scores() - 2


def test_without_rollouts_a_warm_up_takes_test_queries_as_they_are(project):
    Path("data/dpo/rollout.jsonl").unlink()
    plan("--warm-up", "2")
    found = rows()
    assert found["render_eval@test-original"].in_store == 2 and found["reward_eval@test-original", "dims"].in_store == 2


def test_a_warm_up_without_any_prompt_says_what_to_do(project):
    for name in ("data/dpo/rollout.jsonl", "data/queries/test.jsonl"):
        Path(name).unlink()
    done = CliRunner().invoke(main, ["--no-dvc", "--warm-up", "2"])
    assert done.exit_code == 1 and "run `dvc repro queries`" in done.output
