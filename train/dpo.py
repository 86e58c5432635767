"""D_dpo -> policy: preference training against the frozen SFT model (VPO 3.3, Eq. 2), by TRL."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, beside, read_rows
from pipeline.runtime.one_thread import one_thread
from pipeline.runtime.params_file import load_params, option
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.params import Params
from schemas.stage import Declaration
from train.base import base_of, origin_of, tokenizer_of
from train.capacity import refuse_without_room, told_when_it_runs_out
from train.checkpoints import go_on, run_key, versions, weights_hash
from train.lora import peft_config
from train.preference_metrics import Measured, split_by_query
from train.run import arguments, dataset, launch, save, setting, work_folder
from train.shortcuts import shortcuts, warn
from train.throughput import measure, training
from train.trl_rows import dpo_rows, fitting


def dpo(pairs: list[DDpo], sft: Path, out: Path, params: Params) -> None:
    """Train the model in `sft` on the pairs, itself frozen as the reference, and leave the model in `out`."""
    train = params.dpo.train
    refuse_equal_sides(pairs)
    model = base_of(sft)[0]
    refuse_without_room(model, None, train, out)
    template = Template(params.policy.template, needs=("query",))
    told = dpo_rows(pairs, template)
    key = run_key("dpo", told, model, train, setting(train), seed=params.base.seed)
    with told_when_it_runs_out("dpo.train"), work_folder(key, out) as work:
        tokenizer = tokenizer_of(model)
        fit = fitting(told, tokenizer, train.max_length, train.long_rows)
        fitting_pairs = [pairs[at] for at in fit.at]
        learnt, held = split_by_query(fitting_pairs, train.held_out_share)
        found = shortcuts(fitting_pairs) if fit.rows else {}
        warn(found)
        rows, kept_out = ([fit.rows[at] for at in side] for side in (learnt, held))
        if not rows:
            raise DataError(
                f"D_dpo has no pair to train on: dropped {fit.lost}, {len(held)} kept out; see dpo.train.max_length "
                "and dpo.train.held_out_share"
            )
        trainer = dpo_trainer(rows, model, work, params, kept_out)
        measured = Measured(trainer, work, fitting_pairs, fit.rows, learnt, held)
        measure(trainer, training("dpo", origin_of(sft), train))
        go_on(trainer, work, key, train.checkpoint_s)
        about = {
            "stage": "dpo",
            "base": sft.name,
            "origin": origin_of(sft),
            "weights": weights_hash(model),
            "d_dpo": content_id([pair.model_dump(mode="json") for pair in pairs]),
            "template": template.hash,
            "seed": params.base.seed,
            "lora": train.lora.model_dump(mode="json") if train.lora else None,
            "libraries": versions(),
        }
        save(trainer, work, out, about, fit.counts() | {"shortcuts": found} | measured.after(train.beta))


def refuse_equal_sides(pairs: list[DDpo]) -> None:
    """Raise DataError for a pair without a preference: its loss is a constant."""
    same = [pair.pair_id for pair in pairs if pair.chosen.strip() == pair.rejected.strip()]
    if same:
        raise DataError(f"D_dpo: chosen equals rejected in {len(same)} of {len(pairs)} pairs, first {same[0]}")


def dpo_trainer(rows: list[dict], sft: str, work: Path, params: Params, kept_out: Sequence[dict] = ()):
    """Return a DPOTrainer over TRL rows that fit; those kept out are its eval_dataset."""
    from trl import DPOConfig, DPOTrainer

    train = params.dpo.train
    one_thread(sft)
    config = DPOConfig(
        **arguments(train, params.base.seed, work),
        beta=train.beta,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=train.precompute_ref_log_probs,
    )
    # ref_model=None: TRL takes the reference from the same folder, so it stays the SFT model; with LoRA, adapter off
    trainer = DPOTrainer(
        model=sft,
        ref_model=None,
        args=config,
        train_dataset=dataset(rows, work),
        eval_dataset=dataset(list(kept_out), work, "kept_out") if kept_out else None,
        processing_class=tokenizer_of(sft),
        peft_config=peft_config(train.lora),
    )
    if (engine := trainer._precompute_engine) is not None:
        # ZeRO-3's engine of the reference pass: its hooks on the same modules would run in every step of training and
        # break the first forward pass after it (DeepSpeed 0.19: pop from an empty deque)
        engine.destroy()
        trainer._precompute_engine = None
    return trainer


STAGE = Declaration(reads=(DDpo,), row=None, unit="pair")


@click.command("dpo")
@click.argument("d_dpo")
@click.argument("sft", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(d_dpo, sft, out, params_path):
    """D_dpo -> policy: train the SFT model on preference pairs."""
    params = load_params(params_path)
    pairs = list(read_rows(d_dpo, DDpo))
    if not pairs:
        raise DataError(f"{d_dpo}: no pairs, so nothing to train on; see {beside(Path(d_dpo))[0]}")
    launch("train.dpo", [d_dpo, str(sft), str(out), "--params", params_path], params.dpo.train)
    dpo(pairs, sft, out, params)


if __name__ == "__main__":
    sys.exit(main())
