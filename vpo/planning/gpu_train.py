"""What training would take of a GPU: tokens of the rows that are there, or of as many as are expected."""

import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from statistics import fmean

from pipeline.critique import STAGE as CRITIQUE
from pipeline.llm.calls.expected_tokens import TOKENS_PER_CHARACTER
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from schemas.base import content_id
from schemas.critique import Critique
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.needs import Weights
from schemas.params import DpoParams
from schemas.params_train import DpoTrainParams, TrainParams
from train.sft import STAGE as SFT
from train.throughput import describe_work
from vpo.planning.declarations import declaration_of
from vpo.planning.estimate import Planner
from vpo.planning.gpu_cost import Cost, GpuRow, idle, read_cost, size_of, training
from vpo.planning.rows import UNKNOWN, Rows
from vpo.unroll import Stage


def train(planner: Planner, speeds: Path, stage: Stage) -> list[GpuRow]:
    """Return the row of a training stage; its tokens are those that the model reads, in all epochs.

    `speeds` is the folder of what was measured.
    """
    model = planner.params.base_model
    params = planner.params.sft if declaration_of(stage) is SFT else planner.params.dpo.train
    weights = model.needs.weights
    row = GpuRow(stage.name, "tokens", model.backend, weights.model if weights else model.backend)
    rows = to_train_on(planner, stage, row.notes)
    row.rows_from = rows.source
    row.wanted = row.to_make = tokens(rows, planner, params, row.notes)
    if planner.is_idle(stage):
        return [idle(row, row.wanted)]
    if planner.changed is None and is_trained(stage, rows.present):
        return [idle(row, row.wanted, "a model of these very rows is there")]
    cost = read_cost(speeds, describe_work(stage.module, origin(weights), params))
    if weights:
        cost = for_weights(row, params, weights, cost)
    return [row.costs(cost, on_cpu=weights is None)]


def for_weights(row: GpuRow, params: TrainParams, weights: Weights, cost: Cost | None) -> Cost | None:
    """Set the memory that training a model takes, and return what a token costs, counted where none is measured."""
    from pipeline.runtime.named_model import download
    from train.capacity import count_merge_bytes, count_parameters, estimate_bytes

    try:
        n = count_parameters(download(weights.model, weights.revision, ["config.json"]))
    except (DataError, ImportError) as fault:
        named = size_of(weights.model)
        if named is None:
            row.notes.append(f"how many weights it has is not known: {fault}")
            return cost or Cost(None, "unknown: as many weights as nobody could count here")
        row.notes.append(f"{named / 1e9:.3g}B weights, by its name: its config.json is not here")
        n = round(named)
    sharded = params.launch not in ("single", "auto")
    row.gpu_gigabytes = estimate_bytes(n, params, sharded) / 1e9
    row.notes.append(f"{n / 1e9:.1f}B weights; memory of weights, gradients and AdamW, activations apart")
    if merged := count_merge_bytes(n, params, sharded):
        row.notes.append(f"merging the adapter takes {merged / 1e9:.0f} GB of main memory")
    return cost or training(params, n)


def origin(weights: Weights | None) -> str | None:
    """Return the name under which training keeps its speed (train.model_folder.read_origin)."""
    if weights is None:
        return None
    return weights.model if weights.revision else Path(weights.model).resolve().name


def is_trained(stage: Stage, rows: Sequence) -> bool:
    """Return whether the stage's model was trained on these rows."""
    try:
        record = json.loads((Path(stage.paths[-1]) / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return record.get(f"d_{stage.module}") == content_id([row.model_dump(mode="json") for row in rows])


def to_train_on(planner: Planner, stage: Stage, notes: list[str]) -> Rows:
    """Return the rows that a stage will train on, or how many are expected."""
    path, kind = stage.paths[0], DSft if declaration_of(stage) is SFT else DDpo
    if Path(path).is_file() and not planner.late(path):
        return Rows(list(read_rows(path, kind)), 0.0, path)
    maker = planner.graph.maker(path)
    if kind is DSft:
        judged = judged_behind(planner, path)
        share = planner.kept(maker) if maker else 1.0
        count = (len(judged.present) + judged.unknown) * share
        return Rows((), count, "a row for each prompt that is judged", like=judged.present)
    return expected_pairs(planner, stage, notes)


def nearest_verdicts(planner: Planner, path: str) -> str:
    """Return the file of the verdicts that `path` is made from, by the graph; "" where it has none."""
    return next((stage.paths[-1] for stage in planner.graph.upstream(path) if declaration_of(stage) is CRITIQUE), "")


def judged_behind(planner: Planner, path: str) -> Rows:
    """Return the verdicts that `path` is made from; UNKNOWN many where the plan has not counted them."""
    return planner.made.get(nearest_verdicts(planner, path), Rows((), UNKNOWN, "nobody can count the verdicts"))


def expected_pairs(planner: Planner, stage: Stage, notes: list[str]) -> Rows:
    """Return at most how many pairs D_dpo will have, by the rules of section dpo.

    Of text at most one a flawed prompt, of video as many as `dpo.video_pairs` takes of those that are rendered, which
    passed the text check unless the arm's pairs are of all; each no more than `dpo.pairs_per_query`. `dpo.when_both`
    sets aside one of the two where a query has both. Verdicts are counted as independent.
    """
    verdicts = nearest_verdicts(planner, stage.paths[0])
    renders_all = any("--refused" in maker.options for maker in planner.graph.upstream(stage.paths[0]))
    params, judged = planner.params, judged_behind(planner, stage.paths[0])
    arm = params.dpo.arms.get(Path(stage.paths[-1]).name)
    k = params.rollout.k
    prompts = len(judged.present) + judged.unknown
    maker = planner.graph.maker(verdicts)
    share, whence = planner.estimate_flawed(maker or stage, judged.present)
    rules = params.dpo
    if params.d_dpo.path:
        return Rows((), UNKNOWN, "d_dpo.path takes its place, which is not read for a plan")
    has_text = rules.text_feedback and (arm is None or arm.text_feedback)
    has_video = rules.video_feedback and (arm is None or arm.video_feedback)
    each = sum(
        chance(k, flawed, share) * pairs_of(rules, flawed * has_text, (k - flawed * (not renders_all)) * has_video)
        for flawed in range(k + 1)
    )
    if prompts:
        notes.append(
            f"at most: {each:.2f} pairs a query by dpo.pairs_per_query, video_pairs and when_both; "
            f"{share:.1%} of its prompts are flawed: {whence}"
        )
    return Rows((), prompts / k * each, "as many pairs as there can be", like=judged.present)


def chance(k: int, flawed: int, share: float) -> float:
    """Return the probability that so many of K prompts are flawed, each with probability `share`."""
    return comb(k, flawed) * share**flawed * (1 - share) ** (k - flawed)


def pairs_of(rules: DpoParams, flawed: int, passed: int) -> int:
    """Return the most pairs that a query with so many flawed prompts and so many that are rendered can have."""
    most = rules.pairs_per_query or flawed + passed**2
    ranked = {"adjacent": passed - 1, "all": passed * (passed - 1) // 2}.get(rules.video_pairs, int(passed > 1))
    text, video = min(flawed, most), min(max(ranked, 0), most)
    if text and video and rules.when_both != "both":
        return text if rules.when_both == "text" else video
    return text + video


def tokens(rows: Rows, planner: Planner, params: TrainParams, notes: list[str]) -> float:
    """Return the tokens of all steps; of pairs both sides are read, each behind the instruction."""
    count = len(rows.present) + rows.unknown
    like = rows.present or list(planner.examples(rows.like))
    if not count or not like:
        return 0.0
    template = Template(planner.params.policy.template, needs=("query",))
    both = 2 if isinstance(params, DpoTrainParams) and not isinstance(like[0], DDpo) else 1
    each = both * fmean(
        read(row, template, params.max_length) for row in like if isinstance(row, DDpo | DSft | Critique)
    )
    notes.append(f"{each:.0f} tokens a row: {TOKENS_PER_CHARACTER} a character, assumed")
    if params.max_steps > 0:
        return params.max_steps * params.global_batch_size * each
    return count * params.num_train_epochs * each


def read(row: DDpo | DSft | Critique, template: Template, most: int) -> float:
    """Return the tokens that a row gives the model to read, each sequence cut at `most`."""
    instruction = len(template.fill(query=row.query))
    answers = (row.chosen, row.rejected) if isinstance(row, DDpo) else (row.prompt,)
    return sum(min((instruction + len(answer)) * TOKENS_PER_CHARACTER, most) for answer in answers)
