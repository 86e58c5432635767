"""D_dpo -> policy: preference training against the frozen SFT model (VPO 3.3, Eq. 2), by TRL."""

import sys
from pathlib import Path

import click

from pipeline.io import DataError, read_rows
from pipeline.params import load_params, option
from pipeline.words import Template
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.params import Params
from train.rows import dpo_rows, that_fit
from train.run import arguments, launch, losses, save, work_folder


def dpo(pairs: list[DDpo], sft: Path, out: Path, params: Params) -> None:
    """Train the model in `sft` on the pairs, itself frozen as the reference, and leave the model in `out`."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    train = params.dpo.train
    template = Template(params.policy.template, needs=("query",))
    tokenizer = AutoTokenizer.from_pretrained(sft)
    kept, too_long = that_fit(dpo_rows(pairs, template), tokenizer, train.max_length)
    if not kept:
        raise DataError(
            f"D_dpo has no pair of at most dpo.train.max_length {train.max_length} tokens: nothing to train on"
        )
    work = work_folder("dpo", str(out.resolve()))
    config = DPOConfig(
        **arguments(train, params.base.seed, work),
        beta=train.beta,
        loss_type=["sigmoid"],
        max_length=train.max_length,
        precompute_ref_log_probs=train.precompute_ref_log_probs,
        model_init_kwargs={"dtype": "bfloat16" if train.bf16 else "float32"},
    )
    # ref_model=None: TRL loads the reference from the same folder, so it stays the SFT model
    trainer = DPOTrainer(
        model=str(sft), ref_model=None, args=config, train_dataset=Dataset.from_list(kept), processing_class=tokenizer
    )
    trainer.train()
    about = {
        "stage": "dpo",
        "base": sft.name,
        "d_dpo": content_id([pair.model_dump(mode="json") for pair in pairs]),
        "template": template.hash,
        "seed": params.base.seed,
    }
    counted = {
        "units_in": len(pairs),
        "units_done": len(kept),
        "units_dropped": too_long,
        "dropped": {"too_long": too_long} if too_long else {},
        "steps": trainer.state.global_step,
        "log": losses(trainer),
    }
    save(trainer, work, out, about, counted)


@click.command("dpo")
@click.argument("d_dpo")
@click.argument("sft", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(d_dpo, sft, out, params_path):
    """D_dpo -> policy: train the SFT model on preference pairs."""
    params = load_params(params_path)
    launch("train.dpo", params.dpo.train.launch)
    pairs = list(read_rows(d_dpo, DDpo))
    if not pairs:
        raise DataError(f"{d_dpo}: no pairs, so nothing to train on; see {d_dpo.removesuffix('.jsonl')}_dropped.jsonl")
    dpo(pairs, sft, out, params)


if __name__ == "__main__":
    sys.exit(main())
