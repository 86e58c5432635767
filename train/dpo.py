"""D_dpo -> policy: preference training against the frozen SFT model (VPO 3.3, Eq. 2), by TRL."""

import sys
from pathlib import Path

import click

from pipeline.io import DataError, beside, read_rows
from pipeline.one_thread import one_thread
from pipeline.params import load_params, option
from pipeline.words import Template
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.params import Params
from train.base import base_of
from train.rows import counts, dpo_rows, fitting
from train.run import arguments, dataset, launch, losses, save, work_folder


def dpo(pairs: list[DDpo], sft: Path, out: Path, params: Params) -> None:
    """Train the model in `sft` on the pairs, itself frozen as the reference, and leave the model in `out`."""
    template = Template(params.policy.template, needs=("query",))
    with work_folder("dpo", out) as work:
        trainer, lost = dpo_trainer(dpo_rows(pairs, template), base_of(sft)[0], work, params)
        trainer.train()
        about = {
            "stage": "dpo",
            "base": sft.name,
            "d_dpo": content_id([pair.model_dump(mode="json") for pair in pairs]),
            "template": template.hash,
            "seed": params.base.seed,
        }
        counted = counts(len(pairs), len(pairs) - sum(lost.values()), lost)
        save(trainer, work, out, about, counted | {"steps": trainer.state.global_step, "log": losses(trainer)})


def dpo_trainer(rows: list[dict], sft: str, work: Path, params: Params):
    """Return (DPOTrainer, pairs that cannot be trained on by reason) over TRL rows. Raises DataError."""
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    train = params.dpo.train
    one_thread(sft)
    tokenizer = AutoTokenizer.from_pretrained(sft)
    kept, lost = fitting(rows, tokenizer, train.max_length)
    if not kept:
        raise DataError(f"D_dpo has no pair to train on: of {len(rows)}, dropped {lost}; see dpo.train.max_length")
    config = DPOConfig(
        **arguments(train, params.base.seed, work),
        beta=train.beta,
        loss_type=["sigmoid"],
        precompute_ref_log_probs=train.precompute_ref_log_probs,
    )
    # ref_model=None: TRL takes the reference from the same folder, so it stays the SFT model
    trainer = DPOTrainer(
        model=sft, ref_model=None, args=config, train_dataset=dataset(kept, work), processing_class=tokenizer
    )
    return trainer, lost


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
