"""Prompts to raw scores by the stages' own commands, with real pipelines and real scorers of tiny random weights."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.render import main as render_main
from pipeline.reward import main as reward_main
from pipeline.runtime.io import read_rows
from pipeline.video.clips import decode, frames_hash, read_clip, shard_folder
from schemas.base import Dropped
from schemas.render import Render
from schemas.reward import Reward
from schemas.rollout import Rollout
from tests.support import tiny_clip_scorers, tiny_pipelines, tiny_scorers
from tests.support.rows import prompt_fields

QUESTIONS = [f"Question {at} about [[prompt]]?" for at in range(8)]
SCORERS = ("checklist", "visionreward", "videoscore", "aesthetic", "clip", "mps", "hpsv2")
GENERATORS = {
    "cogvideox": {"n_frames": 9, "max_sequence_length": tiny_pipelines.TEXT_LENGTH},
    "wan": {"n_frames": 9},
    "stable_diffusion": {"n_frames": 1},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """params.reward.models of every scorer, in folders with tiny weights."""
    folder = tmp_path_factory.mktemp("scorers")
    (folder / "questions.jsonl").write_text(
        "".join(
            json.dumps(dict(question_id=f"q{at}", question=text, weight=1.0, dimension="d")) + "\n"
            for at, text in enumerate(QUESTIONS)
        )
    )
    (folder / "notes").mkdir()
    tiny_scorers.qwen2_vl(folder / "checklist")
    tiny_clip_scorers.save_videoscore(folder / "videoscore")
    tiny_clip_scorers.save_clip(folder / "clip")
    tiny_clip_scorers.save_head(folder / "head.safetensors")
    tiny_clip_scorers.save_mps(folder / "mps")
    fake = Path(__file__).parents[1] / "support/fake_scorer.py"
    named = {"aesthetic": "clip", "hpsv2": "clip"}
    own = {
        "checklist": {"questions": str(folder / "questions.jsonl"), "dtype": "float32"},
        "visionreward": {
            "questions": str(folder / "questions.jsonl"), "model": "them/scorer",
            "revision": "0123456789abcdef0123456789abcdef01234567",
            "worker": [sys.executable, str(fake), "visionreward", str(folder / "notes"), "looks"],
        },
        "videoscore": {"dtype": "float32"},
        "clip": {"scored_text": "prompt"},
        "aesthetic": {"head": str(folder / "head.safetensors")},
    }  # fmt: skip
    return {
        name: {"backend": name, "scored_text": "query", "model": str(folder / named.get(name, name))}
        | own.get(name, {})
        for name in SCORERS
    }


@pytest.mark.slow
@pytest.mark.parametrize("family", GENERATORS)
def test_prompts_become_clips_and_scores_and_a_second_run_makes_nothing_anew(root, tmp_path, models, family):
    yaml = YAML()
    params = yaml.load((root / "params.yaml").read_text())
    nulls = dict.fromkeys(("n_frames", "height", "width", "frames_per_second"))
    size = {"height": 64, "width": 64, "num_inference_steps": 2, "dtype": "float32", "backend": "diffusers"}
    generator = {"model": str(getattr(tiny_pipelines, family)(tmp_path / family)), "long_prompts": "refuse"}
    params["render"].update(nulls | size | generator | GENERATORS[family])
    params["reward"].update({"models": models, "formula": "weighted_p_yes", "replicate": 1.0})
    with (tmp_path / "params.yaml").open("w") as file:
        yaml.dump(params, file)
    lane = tmp_path / "data" / "dpo"
    lane.mkdir(parents=True)
    prompts = ["a dog runs", "a dog runs on a beach", "a dog " + "that runs " * 600]
    rows = [Rollout(**prompt_fields(prompt=prompt, sample=at)) for at, prompt in enumerate(prompts)]
    (lane / "rollout.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    runner = CliRunner(env={"VPO_HOME": str(tmp_path / "home")})
    options = ["--params", str(tmp_path / "params.yaml")]
    written = []
    for _ in range(2):
        done = runner.invoke(
            render_main, ["--replicate", str(lane / "rollout.jsonl"), str(lane / "render.parquet"), *options]
        )
        assert done.exit_code == 0, done.output
        done = runner.invoke(reward_main, [str(lane / "render.parquet"), str(lane / "reward.parquet"), *options])
        assert done.exit_code == 0, done.output
        files = sorted(path for path in lane.rglob("*") if path.is_file())
        written.append({path.name: path.read_bytes() for path in files})
        asked = sorted((tmp_path / "home" / "store" / "files").rglob("*.mp4"))
    assert written[0] == written[1] and len(asked) == 4

    clips = list(read_rows(lane / "render.parquet", Render))
    assert [(clip.sample, clip.replicate) for clip in clips] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    (long,) = read_rows(lane / "render_dropped.jsonl", Dropped)
    assert (long.input_id, long.reason) == (rows[2].prompt_id, "over_token_limit")
    for clip in clips:
        frames = decode(read_clip(shard_folder(lane / "render.parquet"), clip))
        assert frames.shape == (GENERATORS[family]["n_frames"], 64, 64, 3) and frames_hash(frames) == clip.frames_hash
        settings = json.loads(clip.settings)
        assert settings["scheduler"] and settings["scheduler_config"] and len(clip.rendered_by.revision) == 16

    metrics = json.loads((tmp_path / "results" / "dpo" / "reward.json").read_text())
    # of the two prompts, rendered twice, one has more letters than the tiny CLIP reads
    assert metrics["text_truncated"] == {"clip": 2, "mps": 0, "hpsv2": 0}
    scores = list(read_rows(lane / "reward.parquet", Reward))
    lost = {row.detail.split(":")[0] for row in read_rows(lane / "reward_dropped.jsonl", Dropped)}
    assert {row.reward for row in scores} | lost == {*SCORERS} and lost <= {"checklist", "visionreward"}
    for row in scores:
        assert len(row.answers) == (len(QUESTIONS) if row.reward in ("checklist", "visionreward") else 0)
        assert len(row.dims) == {"videoscore": 5}.get(row.reward, int(not row.answers))
