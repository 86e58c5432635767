"""D_dpo -> policy: preference training against the frozen SFT model (VPO 3.3, Eq. 2), by TRL."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.llm.template import Template
from pipeline.runtime.imports import collect_later
from pipeline.runtime.io import read_rows, write_json
from pipeline.runtime.one_thread import use_one_thread
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.set_aside import write_set_aside
from pipeline.runtime.stage_output import dropped_path, metrics_path
from pipeline.runtime.stand_ins import say_if_unreadable
from pipeline.text.shortcuts import measure_shortcuts, warn_of_shortcuts
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.params import Params
from schemas.reasons import Reason
from schemas.stage import Declaration
from train.capacity import explain_exhaustion, refuse_without_room
from train.checkpoints import hash_weights, make_run_key, read_versions, train_with_checkpoints
from train.curve import curve_path, write_curve
from train.effect import TooFewRows, refuse_less_than_a_batch
from train.launch import launch
from train.lora import make_peft_config
from train.model_folder import load_tokenizer, read_base, read_dtype, read_origin
from train.preference_metrics import PreferenceMetrics, split_by_query
from train.throughput import describe_work, record_throughput
from train.trainer import describe_setting, make_arguments, make_dataset, open_work_folder, save_model
from train.trl_rows import Row, select_fitting, to_dpo_rows

if TYPE_CHECKING:
    from trl import DPOTrainer


def dpo(pairs: list[DDpo], sft: Path, out: Path, params: Params) -> None:
    """Train the model in folder `sft` on the pairs, itself frozen as the reference, and leave the policy in `out`.

    Raises TooFewRows where the pairs make no batch, DataError for a model or a machine that cannot be trained with.
    """
    train = params.dpo.train
    model = read_base(sft)[0]
    refuse_without_room(model, None, train, out)

    template = Template(params.policy.template, needs=("query",))
    trl_rows = to_dpo_rows(pairs, template)
    weights = hash_weights(model)  # once: it reads them all, and 8B are 16 GB
    key = make_run_key("dpo", trl_rows, weights, train, describe_setting(train), params.base.seed)

    with explain_exhaustion("dpo.train"), open_work_folder(key, out) as work:
        fitting = select_fitting(trl_rows, load_tokenizer(model), train.max_length, train.long_rows)
        fitting_pairs = [pairs[position] for position in fitting.positions]
        train_positions, held_out_positions = split_by_query(fitting_pairs, train.held_out_share)
        train_rows = [fitting.rows[position] for position in train_positions]
        held_out_rows = [fitting.rows[position] for position in held_out_positions]
        shortcuts = measure_shortcuts(fitting_pairs) if fitting_pairs else {}
        warn_of_shortcuts(shortcuts)
        if not train_rows:
            raise TooFewRows(
                f"D_dpo has no pair to train on: dropped {fitting.dropped}, {len(held_out_rows)} kept out; see "
                "dpo.train.max_length and dpo.train.held_out_share"
            )
        refuse_less_than_a_batch(len(train_rows), train.global_batch_size, out.name)

        trainer = make_dpo_trainer(train_rows, model, work, params, held_out_rows)
        metrics = PreferenceMetrics(
            trainer, work, fitting_pairs, fitting.rows, train_positions, held_out_positions, train.beta
        )
        record_throughput(trainer, describe_work("dpo", read_origin(sft), train))
        train_with_checkpoints(trainer, work, key, train.checkpoint_s)

        about = {
            "stage": "dpo",
            "base": sft.name,
            "origin": read_origin(sft),
            "weights": weights,
            "d_dpo": content_id([pair.model_dump(mode="json") for pair in pairs]),
            "template": template.hash,
            "seed": params.base.seed,
            "lora": train.lora.model_dump(mode="json") if train.lora else None,
            "libraries": read_versions(),
        }
        measured = fitting.count_units() | {"shortcuts": shortcuts} | metrics.measure()
        dtype = params.policy.dtype or read_dtype(model)
        save_model(trainer, work, out, about, measured, origin=Path(model), dtype=dtype)


def make_dpo_trainer(
    rows: list[Row], sft: str, work: Path, params: Params, held_out_rows: Sequence[Row] = ()
) -> "DPOTrainer":
    """Return a DPOTrainer over TRL rows that fit; those held out are its eval_dataset, `work` is the run's folder."""
    with collect_later():
        from trl import DPOConfig, DPOTrainer

    train = params.dpo.train
    use_one_thread(sft)
    config = DPOConfig(
        **make_arguments(train, params.base.seed, work),
        beta=train.beta,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=train.precompute_ref_log_probs,
    )
    # ref_model=None: TRL takes the reference from the same folder, so it stays the SFT model; with LoRA, adapter off
    trainer = DPOTrainer(
        model=sft,
        ref_model=None,
        args=config,
        train_dataset=make_dataset(rows, work),
        eval_dataset=make_dataset(list(held_out_rows), work, "kept_out") if held_out_rows else None,
        processing_class=load_tokenizer(sft),
        peft_config=make_peft_config(train.lora),
    )
    if (engine := trainer._precompute_engine) is not None:
        # ZeRO-3's engine of the reference pass: its hooks on the same modules would run in every step of training and
        # break the first forward pass after it (DeepSpeed 0.19: pop from an empty deque)
        engine.destroy()
        trainer._precompute_engine = None
    return trainer


def set_aside(out: Path, n_pairs: int, why: str) -> None:
    """Leave what the stages behind this one need of an arm that was not trained: a marker, metrics, an empty curve."""
    if os.environ.get("RANK", "0") != "0":
        return
    write_set_aside(out, why)
    write_curve(curve_path(out), [])
    dropped = {Reason.NOT_TRAINED.value: n_pairs} if n_pairs else {}
    units = {"units_in": n_pairs, "units_done": 0, "units_dropped": n_pairs, "dropped": dropped}
    write_json(metrics_path(out), units | {"set_aside": why})
    click.echo(f"  {out.name}: set aside, the other arms go on: {why}", err=True)


STAGE = Declaration(reads=(DDpo,), row=None, unit="pair")


@click.command("dpo")
@click.argument("d_dpo")
@click.argument("sft", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--arm", is_flag=True, help="An extra arm: without pairs it is set aside and stops no other.")
@option
def main(d_dpo: str, sft: Path, out: Path, arm: bool, params_path: str) -> None:
    """D_dpo -> policy: train the SFT model on preference pairs."""
    params = load_params(params_path)
    say_if_unreadable(params, params.base_model, ready=("d_sft", "d_dpo"))
    pairs = list(read_rows(d_dpo, DDpo))
    try:
        if not pairs:
            raise TooFewRows(f"{d_dpo}: no pairs, so nothing to train on; see {dropped_path(Path(d_dpo))}")
        words = [d_dpo, str(sft), str(out), *(["--arm"] if arm else []), "--params", params_path]
        launch("train.dpo", words, params.dpo.train)
        dpo(pairs, sft, out, params)
    except TooFewRows as fault:
        if not arm:
            raise
        set_aside(out, len(pairs), fault.message)


if __name__ == "__main__":
    sys.exit(main())
