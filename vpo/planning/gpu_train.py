"""What training would take of a GPU: tokens of the rows that are there, or of as many as are expected."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from pipeline.llm.calls.expected_tokens import TOKENS_PER_CHARACTER
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from schemas.base import content_id
from schemas.critique import Critique
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.needs import Weights
from schemas.params_train import DpoTrainParams, TrainParams
from train.throughput import describe_work
from vpo.planning.estimate import Planner
from vpo.planning.gpu_cost import Cost, GpuRow, idle, read_cost, training
from vpo.planning.rows import Rows, kept
from vpo.unroll import Stage


def train(planner: Planner, speeds: Path, stage: Stage) -> list[GpuRow]:
    """Return the row of a training stage; its tokens are those that the model reads, in all epochs.

    `speeds` is the folder of what was measured.
    """
    model = planner.params.base_model
    params = planner.params.sft if stage.module == "sft" else planner.params.dpo.train
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
    from train.capacity import count_parameters, estimate_bytes
    from train.model_folder import download

    try:
        n = count_parameters(download(weights.model, weights.revision, ["config.json"]))
    except (DataError, ImportError) as fault:
        row.notes.append(f"how many weights it has is not known: {fault}")
        return cost or Cost(None, "unknown: as many weights as nobody could count here")
    sharded = params.launch not in ("single", "auto")
    row.gpu_gigabytes = estimate_bytes(n, params, sharded) / 1e9
    row.notes.append(f"{n / 1e9:.1f}B weights; memory of weights, gradients and AdamW, activations apart")
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
    path, kind = stage.paths[0], DSft if stage.module == "sft" else DDpo
    if Path(path).is_file():
        rows, late = list(read_rows(path, kind)), planner.late(path)
        if not late:
            return Rows(rows, 0.0, path)
        return Rows((), len(rows), f"as many as {path} holds; made anew behind {late}", like=rows)
    maker = planner.graph.maker(path)
    if kind is DSft:
        judged = planner.made.get(nearest_verdicts(planner, path), Rows())
        share = kept(maker) if maker else 1.0
        count = (len(judged.present) + judged.unknown) * share
        return Rows((), count, "a row for each prompt that is judged", like=judged.present)
    return expected_pairs(planner, stage, notes)


def nearest_verdicts(planner: Planner, path: str) -> str:
    """Return the file of the verdicts that `path` is made from, by the graph; "" where it has none."""
    return next((stage.paths[-1] for stage in planner.graph.upstream(path) if stage.module == "critique"), "")


def expected_pairs(planner: Planner, stage: Stage, notes: list[str]) -> Rows:
    """Return at most how many pairs D_dpo will have: one a flawed prompt, and those of neighbours in the ranking."""
    verdicts = nearest_verdicts(planner, stage.paths[0])
    params, judged = planner.params, planner.made.get(verdicts, Rows())
    arm = params.dpo.arms.get(Path(stage.paths[-1]).name)
    k = params.rollout.k
    prompts = len(judged.present) + judged.unknown
    maker = planner.graph.maker(verdicts)
    share, whence = planner.estimate_flawed(maker or stage, judged.present)
    queries, passed = prompts / k, k * (1 - share)
    ranked = {"adjacent": passed - 1, "all": passed * (passed - 1) / 2}.get(params.dpo.video_pairs, 1.0)
    if params.dpo.pairs_per_query:
        ranked = min(ranked, params.dpo.pairs_per_query)
    text = prompts * share * (params.dpo.text_feedback and (arm is None or arm.text_feedback))
    video = queries * max(ranked, 0.0) * (params.dpo.video_feedback and (arm is None or arm.video_feedback))
    if prompts:
        notes.append(f"at most: a pair a flawed prompt ({share:.0%}, {whence}), and dpo.video_pairs of all that pass")
    return Rows((), text + video, "as many pairs as there can be", like=judged.present)


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
