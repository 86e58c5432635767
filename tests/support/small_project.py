"""A project with every artifact of the graph, a few rows each, written by hand."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from itertools import starmap
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from pipeline.runtime.io import write_json, write_rows
from pipeline.runtime.stage_output import dropped_path
from pipeline.video.clips import Packed, make_clip, write_shards
from schemas.base import Dropped, Prompt, Provenance, content_id
from schemas.critique import Critique
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.d_text import DText
from schemas.d_video import DVideo
from schemas.evaluate import Evaluate
from schemas.fewshot import Fewshot
from schemas.queries import Query, QueryDropped
from schemas.refine import Refine
from schemas.render import Render
from schemas.reward import Answer, Dimension, Question, Reward
from schemas.rollout import Rollout
from tests.support.rows import BY

ROOT = Path(__file__).resolve().parents[2]
JUDGE = Provenance(backend="offline", model="checker", revision="1" * 16)
RENDERER = Provenance(backend="offline", model="sprites", revision="2" * 16)
ARMS = {"original": "", "dpo": " The camera stays calm."}
TEXTS = {
    "sft": (["a red fox in snow", "a boat on a lake", "two cats that dance"], ["a man with a gun"]),
    "dpo": (["a train at night", "rain on a window", "a child on a swing"], ["a street fight"]),
    "test": (["a dog on grass", "a $5 bill in the wind", "an old mill", "a kite above the sea"], ["a bloody sword"]),
}


def small_project(folder: Path) -> Path:
    """Write the graph, its params.yaml and all data into `folder`; return it."""
    shutil.copytree(made_once(), folder, dirs_exist_ok=True)
    write_params(folder)
    return folder


@cache
def made_once() -> Path:
    """Return a folder of this process with all of a small project but its params.yaml: its clips take a while."""
    folder = Path(tempfile.mkdtemp(prefix="small_project"))
    atexit.register(shutil.rmtree, folder)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    data = folder / "data"
    for split in TEXTS:
        write_rows(data / f"queries/{split}.jsonl", queries(split), Query)
    left = QueryDropped(input_id="synthetic/9", reason="duplicate", raw="a dog on grass", witness_id="x", score=1.0)
    write_rows(data / "queries/queries_dropped.parquet", [left], QueryDropped)
    write_json(folder / "results/queries.json", {"units_in": 14, "units_done": 13, "dropped": {"duplicate": 1}})
    questions = [Question(question_id="q1", question="Is it calm?", weight=1.0, dimension="quality")]
    write_rows(folder / "questions.jsonl", questions, Question)
    lane(data / "sft", "sft")
    lane(data / "dpo", "dpo")
    put(data / "eval/fewshot.jsonl", [Fewshot(**prompt(row, "fewshot", ".")) for row in queries("test")], Fewshot)
    for arm, ending in ARMS.items():
        rows = [Rollout(**prompt(row, arm, ending), suite="test") for row in queries("test")]
        put(data / f"eval/test/{arm}/rollout.jsonl", rows, Rollout)
        put(data / f"eval/test/{arm}/critique.jsonl", [judged(row) for row in rows], Critique)
        clips(data / f"eval/test/{arm}", rows)
    number = dict(suite="test", target="offline", metric="reward", n=4, seeds=1, judge="offline checklist")
    write_rows(data / "evaluate.jsonl", [Evaluate(arm="dpo", value=1, low=0.5, high=1.5, **number)], Evaluate)
    return folder


def write_params(folder: Path, **changes) -> Path:
    """Copy params.yaml into `folder` with two arms, its own question file, and `changes` (section -> values)."""
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    tree["evaluate"].update(
        arms={name: {"prompts": "query", "source": "data/queries/test.jsonl"} for name in ARMS},
        versus=[["dpo", "original"]],
        bootstrap=100,
    )
    tree["package"]["held_out_share"] = 0.5  # of a handful of queries, so that both sides have some
    tree["policy"]["template"] = str(ROOT / tree["policy"]["template"])
    tree["reward"]["models"]["checklist"]["questions"] = str(folder / "questions.jsonl")
    for section, values in changes.items():
        tree[section].update(values)
    written = folder / "params.yaml"
    written.write_text(json.dumps(tree, indent=2))  # is YAML, and keeps the arms' order
    return written


def queries(split: str) -> list[Query]:
    general, safety = TEXTS[split]
    return [
        Query(
            query_id=content_id(text), query=text, split=split, safety=text in safety, raw=text.upper(),
            source="synthetic", source_id=f"{split}/{number}",
        )
        for number, text in enumerate([*general, *safety])
    ]  # fmt: skip


def prompt(row: Query, arm: str, ending: str, sample: int = 0) -> dict:
    text = f"{row.query}{ending}"
    return dict(
        query_id=row.query_id, query=row.query, split=row.split, safety=row.safety, arm=arm, sample=sample,
        prompt_id=content_id(row.query_id, text), prompt=text, written_by=BY,
    )  # fmt: skip


def shared(row) -> dict:
    """Return the columns that every stage after this one has too."""
    return row.model_dump(include=set(Prompt.model_fields))


def judged(row, violated=None) -> Critique:
    found = (("harmless",) if row.safety else ()) if violated is None else violated
    return Critique(**shared(row), aligned=not found, violated=found, critique="c", critique_by=JUDGE)


def put(path: Path, rows, row, dropped=()) -> None:
    write_rows(path, rows, row)
    write_rows(dropped_path(path), dropped, Dropped)


def lane(folder: Path, split: str) -> None:
    """Write a training lane: few-shot prompts and D_SFT, or two rollouts a query, their clips and the pairs."""
    asked = queries(split)
    if split == "sft":
        rows = [Fewshot(**prompt(row, "fewshot", " in soft light.")) for row in asked]
        put(folder / "fewshot.jsonl", rows, Fewshot)
        put(folder / "d_sft.jsonl", [DSft(**row.model_dump(), refined=row.safety, violated=()) for row in rows], DSft)
    else:
        rows = [Rollout(**prompt(row, "sft", f" take {k}.", k)) for row in asked for k in range(2)]
        put(folder / "rollout.jsonl", rows, Rollout)
        clips(folder, [row for row in rows if not row.safety])
        for name, row, source in (("d_text", DText, "text"), ("d_video", DVideo, "video")):
            put(folder / f"{name}.jsonl", [row(**pair(query, source)) for query in asked], row)
        pairs = [DDpo(**pair(query, source)) for query in asked for source in ("text", "video")]
        put(folder / "d_dpo.jsonl", pairs, DDpo)
    verdicts = [judged(row) for row in rows]
    put(folder / "critique.jsonl", verdicts, Critique)
    refined = [
        Refine(**row.model_dump(), p_refined="A calm street.", p_refined_id=content_id("r"), refined_by=BY)
        for row in verdicts
        if not row.aligned
    ]
    put(folder / "refine.jsonl", refined, Refine, [Dropped(input_id="a", reason="refused", detail="sorry")])


def pair(query: Query, source: str) -> dict:
    chosen, rejected = f"{query.query}, calm.", f"{query.query} take 0."
    return dict(
        pair_id=content_id(query.query_id, chosen, rejected, source), query_id=query.query_id, query=query.query,
        chosen=chosen, rejected=rejected, source=source, rule="by hand",
        chosen_origin="refined" if source == "text" else "policy", target="offline", round=1, chosen_id="c",
        rejected_id="r", decided_by=(), safety=query.safety,
    )  # fmt: skip


def clips(folder: Path, rows) -> None:
    """Write a grey clip for each prompt, its shard and manifest, and two reward models' rows; calm prompts score 1."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered, rewards, files = [], [], {}
    for number, row in enumerate(rows):
        clip = make_clip(np.full((4, 16, 16, 3), 20 + 10 * number, np.uint8), 8)
        video_id = content_id(row.query_id, row.prompt)
        files[video_id] = folder / f"{video_id}.mp4"
        files[video_id].write_bytes(clip.content)
        rendered.append((row, video_id, clip))
        seen = dict(video_id=video_id, query_id=row.query_id, prompt_id=row.prompt_id, frames_hash=clip.frames_hash,
                    suite=row.suite, arm=row.arm)  # fmt: skip
        calm = "calm" in row.prompt
        yes = (Answer(question_id="q1", answer=calm),)
        for model, answers, dims in (
            ("checklist", yes, ()),
            ("dims", (), (Dimension(name="DD", value=0.2 if calm else 0.6), Dimension(name="VQ", value=0.5))),
        ):
            by = Provenance(backend=f"offline_{model}", model=model, revision="3" * 16)
            rewards.append(
                Reward(**seen, reward=model, scored_text=row.query, answers=answers, dims=dims, scored_by=by)
            )
    places = write_shards(folder / "render", starmap(Packed, files.items()), 500)
    for path in files.values():
        path.unlink()
    manifest = [
        Render(
            **shared(row), video_id=video_id, settings="{}", seed=1, frames_hash=clip.frames_hash, clip_hash="c" * 32,
            **places[video_id]._asdict(), n_frames=4, height=16, width=16, frames_per_second=8, truncated=False,
            rendered_by=RENDERER,
        )
        for row, video_id, clip in rendered
    ]  # fmt: skip
    put(folder / "render.parquet", manifest, Render)
    put(folder / "reward.parquet", rewards, Reward)
