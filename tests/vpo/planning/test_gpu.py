import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline import critique, render, reward
from pipeline.backends.renderer.facts import COGVIDEOX_2B, COGVIDEOX_5B, LTX_VIDEO, WAN_22_A14B
from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows, write_rows
from pipeline.runtime.params_file import load_params
from pipeline.runtime.speeds import CPU, Speed, Work, put
from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.render import Render
from schemas.rollout import Rollout
from tests.support.small_project import ROOT, prompt, queries, small_project, write_params
from vpo.plan import main
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner, total
from vpo.planning.gpu_cost import Cost, GpuRow, measured, memory, published, training

pytestmark = pytest.mark.slow

HUB = {"backend": "diffusers", "model": "zai-org/CogVideoX-2b", "revision": "0" * 40, "n_frames": None, "height": None,
       "width": None, "frames_per_second": None}  # fmt: skip
HUB_BASE = {"backend": "hub", "vocab_size": None, "hidden_size": None, "num_hidden_layers": None,
            "num_attention_heads": None, "steps": None, "batch_size": None, "learning_rate": None}  # fmt: skip
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


def counts(row):
    return row.wanted, row.in_store, row.to_make


def test_what_is_planned_is_what_the_stages_then_make(project):
    write(reward={"replicate": 0.9})
    make(critique)
    planned = rows()
    make(render)
    made = list(read_rows(DPO[2], Render))
    assert any(row.replicate for row in made) and len(made) > 6
    assert counts(planned["render@dpo"]) == (len(made), 0, len(made))
    for model in ("checklist", "dims"):
        assert counts(planned["reward@dpo", model]) == (len(made), 0, len(made))


def distinct_scores():
    return len({(row.frames_hash, row.query) for row in read_rows(DPO[2], Render)})


def test_what_is_in_the_store_is_not_made_again(project):
    make(critique, render)
    n, scores = len(list(read_rows(DPO[2], Render))), distinct_scores()
    found = rows()
    assert counts(found["render@dpo"]) == (n, n, 0)
    assert counts(found["reward@dpo", "dims"]) == (n, n - scores, scores)
    make(reward)
    assert counts(rows()["reward@dpo", "dims"]) == (n, n, 0)


def test_a_clip_whose_file_is_gone_is_made_again(project):
    make(critique, render)
    before, clips = rows()["render@dpo"], ClipStore()
    clips.path(next(iter(read_rows(DPO[2], Render))).video_id).unlink()
    after = rows()["render@dpo"]
    assert (after.wanted, after.to_make) == (before.wanted, 1)


def test_a_clip_of_two_arms_is_made_and_scored_once(project):
    found = rows()
    assert counts(found["render_eval@test-original"]) == (5, 0, 5)
    assert counts(found["render_eval@test-dpo"]) == (5, 5, 0)
    assert counts(found["reward_eval@test-original", "dims"]) == (5, 0, 5)
    assert counts(found["reward_eval@test-dpo", "dims"]) == (5, 5, 0)


def test_rows_of_a_changed_policy_are_counted_and_not_looked_up(project):
    make(critique, render)
    row = rows(changed={"sft"})["render@dpo"]
    assert counts(row) == (pytest.approx(8 * 0.65), 0, pytest.approx(8 * 0.65))
    assert row.rows_from == "as many as data/dpo/rollout.jsonl holds; made anew behind sft"
    assert "65% of the prompts pass the text check: assumed" in row.notes


def test_a_stage_that_nothing_has_changed_for_makes_nothing_and_its_clips_are_scored(project):
    make(critique, render)
    n, scores = len(list(read_rows(DPO[2], Render))), distinct_scores()
    found = rows(changed={"reward@dpo"}, store=Store(project / "empty"))
    assert counts(found["render@dpo"]) == (n, n, 0) and found["render@dpo"].notes == ["unchanged: does not run"]
    assert counts(found["reward@dpo", "dims"]) == (n, n - scores, scores)


def test_the_replicates_of_rows_to_come_are_counted(project):
    write(reward={"replicate": 0.5})
    assert rows(changed={"sft"})["render@dpo"].wanted == pytest.approx(8 * 0.65 * 1.5)


def test_an_offline_backend_costs_nothing_on_a_gpu_and_what_it_takes_of_a_cpu_is_unknown_until_it_ran(project):
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


def test_hours_are_units_times_seconds():
    row = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=36_000)
    assert row.costs(Cost(45.0, "published for H100", "H100"), offline=False).gpu_hours == 450
    row = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=36_000)
    row.costs(Cost(45.0, "measured on cpu", CPU), offline=False)
    assert (row.gpu_hours, row.cpu_hours) == (0, 450)


def test_what_nobody_knows_is_said_and_not_counted_as_nothing():
    known = GpuRow("render@dpo", "clips", "diffusers", "m", to_make=80).costs(Cost(45.0, "", "H100"), offline=False)
    unknown = GpuRow("reward@dpo", "scores", "videoscore", "vs", to_make=80).costs(None, offline=False)
    assert unknown.gpu_hours is None and unknown.source == "unknown: run vpo plan --warm-up"
    assert total([known, unknown])["gpu_hours"] == 1.0
    assert total([known, unknown])["unknown"] == ["reward@dpo vs"]


def test_a_model_that_is_not_on_this_machine_has_published_seconds_and_memory(project):
    write(render=HUB)
    make(critique)
    row = rows()["render@dpo"]
    assert row.source == "published for H100" and row.seconds_each == 45
    assert row.gpu_hours == pytest.approx(row.to_make * 45 / 3600) and row.to_make > 3
    assert (row.in_store, row.gpu_gigabytes) == (None, 12.5)
    assert "the store cannot be asked" in row.notes[0]
    assert "render.offload none takes more: GPU gigabytes are published with offload model" in row.notes


@pytest.mark.parametrize(
    ("facts", "values", "gigabytes", "n_assumed"),
    [
        (COGVIDEOX_2B, {"offload": "sequential"}, 4, 0),
        (COGVIDEOX_2B, {"offload": "group"}, 4, 1),
        (COGVIDEOX_2B, {"offload": "model"}, 12.5, 0),
        (COGVIDEOX_2B, {"offload": "none"}, 12.5, 1),
        (COGVIDEOX_5B, {"offload": "model", "vae_tiling": False}, 20.7, 1),
        (WAN_22_A14B, {}, 80, 0),
        (WAN_22_A14B, {"offload": "sequential"}, None, 0),
        (LTX_VIDEO, {}, None, 0),
    ],
)
def test_memory_follows_the_offload_and_says_what_it_assumes(laptop, facts, values, gigabytes, n_assumed):
    found, assumed = memory(laptop.render.model_copy(update=values), facts)
    assert (found, len(assumed)) == (gigabytes, n_assumed)


def test_half_the_steps_are_half_the_seconds(project):
    write(render=HUB | {"num_inference_steps": 25})
    row = rows()["render_eval@test-original"]
    assert row.seconds_each == 22.5 and "times 0.5 for steps and pixels" in row.source


def test_a_model_without_published_seconds_is_unknown(laptop):
    assert published(laptop.render, None, {}) is None


def test_the_best_measurement_is_taken(tmp_path):
    work = Work("score", "videoscore", "m", "r", "s")
    put(tmp_path, work, Speed(9, 90.0, False, CPU))
    assert measured(tmp_path, work) == Cost(10.0, "measured on cpu", CPU)
    put(tmp_path, work, Speed(9, 18.0, True, "H100"))
    assert measured(tmp_path, work).device == CPU
    put(tmp_path, work, Speed(9, 9.0, False, "A100"))
    assert measured(tmp_path, work) == Cost(1.0, "measured on A100", "A100")
    assert measured(tmp_path / "none", work) is None


def test_eight_billion_weights_on_an_h100(laptop):
    sft = laptop.sft.model_copy(update={"bf16": True})
    cost = training(sft, 8_000_000_000)
    assert cost.seconds == pytest.approx(6 * 8e9 / (0.4 * 989e12))
    assert cost.source == "assumed: 6 N FLOPs a token at 40 % of 989 TFLOPS (H100, bf16)"
    checkpointed = training(sft.model_copy(update={"gradient_checkpointing": True}), 8_000_000_000)
    assert checkpointed.seconds == pytest.approx(8 / 6 * cost.seconds)


def test_the_reference_goes_forward_once_where_it_is_precomputed_else_in_every_epoch(laptop):
    dpo = laptop.dpo.train.model_copy(update={"bf16": True, "num_train_epochs": 4})
    every = dpo.model_copy(update={"precompute_ref_log_probs": False})
    assert training(dpo, 1000).seconds == pytest.approx(6.5 * 1000 / (0.4 * 989e12))
    assert training(every, 1000).seconds == pytest.approx(8 * 1000 / (0.4 * 989e12))


def instruction(query):
    return Template(ROOT / "pipeline/templates/optimize.jinja").fill(query=query)


def test_tokens_are_counted_from_the_rows(project):
    found = rows()
    sft = list(read_rows("data/sft/d_sft.jsonl", DSft))
    characters = sum(len(instruction(row.query)) + len(row.prompt) for row in sft)
    assert found["sft"].wanted == pytest.approx(5 * characters / 4)
    pairs = list(read_rows("data/dpo/d_dpo.jsonl", DDpo))
    characters = sum(2 * len(instruction(row.query)) + len(row.chosen) + len(row.rejected) for row in pairs)
    assert found["dpo"].wanted == pytest.approx(characters / 4)


def test_steps_that_are_told_count_before_epochs(project):
    write(sft={"max_steps": 10, "global_batch_size": 4})
    sft = list(read_rows("data/sft/d_sft.jsonl", DSft))
    each = sum(len(instruction(row.query)) + len(row.prompt) for row in sft) / 4 / len(sft)
    assert rows()["sft"].wanted == pytest.approx(40 * each)


def test_a_model_of_the_same_rows_is_not_trained_again(project):
    from schemas.base import content_id

    told = content_id([row.model_dump(mode="json") for row in read_rows("data/sft/d_sft.jsonl", DSft)])
    Path("data/models/sft").mkdir(parents=True)
    Path("data/models/sft/model.json").write_text(json.dumps({"d_sft": told}))
    assert rows()["sft"].to_make == 0 < rows()["dpo"].to_make
    assert rows(changed={"sft"})["sft"].to_make > 0


def test_pairs_to_come_are_bounded(project):
    """Eight rollouts of four queries, K = 2: 35 % are flawed, and neighbours of those that pass make a pair."""
    Path("data/dpo/d_dpo.jsonl").unlink()
    write(rollout={"k": 2})
    text, video = 8 * 0.35, 4 * (2 * 0.65 - 1)
    row = rows(changed={"sft"})["dpo"]
    (each,) = (float(note.split()[0]) for note in row.notes if "tokens a row" in note)
    assert row.wanted / each == pytest.approx(text + video, rel=0.01)


@pytest.mark.slow
def test_the_weights_of_a_base_model_are_counted_by_its_config(project):
    from transformers import LlamaConfig

    from train.capacity import bytes_to_train, n_parameters

    LlamaConfig(vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2).save_pretrained("base")
    write(base_model=HUB_BASE | {"name": "base"}, sft={"bf16": True})
    row, n = rows()["sft"], n_parameters("base")
    assert row.gpu_hours == pytest.approx(row.wanted * 6 * n / (0.4 * 989e12) / 3600)
    sft = load_params("params.yaml").sft
    assert row.gpu_gigabytes == bytes_to_train(n, sft, sharded=False) / 1e9


def test_a_base_model_that_is_not_there_makes_training_unknown(project):
    write(base_model=HUB_BASE | {"name": "owner/name", "revision": "0" * 40})
    row = rows()["sft"]
    assert row.gpu_hours is None and row.source.startswith("unknown: ") and row.gpu_gigabytes is None


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


def test_the_table_says_hours_and_where_they_are_from(project):
    write(render=HUB)
    done = CliRunner().invoke(main, ["--no-dvc"])
    assert done.exit_code == 0, done.output
    stages = "render_eval@test-original, render_eval@test-dpo, render@dpo"
    assert f"seconds each: published for H100 ({stages})" in done.output
    assert "GPU-hours, unknown CPU-hours, unknown GB of disk" in done.output


def test_a_plan_keeps_no_speed_and_makes_no_clip(project, vpo_home):
    plan()
    assert not (vpo_home / "speeds").exists() and not list(Store().root.glob("files/*/*.mp4"))
