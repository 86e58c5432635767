"""D_SFT -> policy: supervised fine-tuning on the answers alone (VPO 3.2, Eq. 1), by TRL."""

import sys
from pathlib import Path

import click

from pipeline.io import DataError, read_rows
from pipeline.one_thread import one_thread
from pipeline.params import load_params, option
from pipeline.words import Template
from schemas.base import content_id
from schemas.d_sft import DSft
from schemas.params import Params
from train.base import base_of, downloaded
from train.rows import counts, fitting, sft_rows
from train.run import arguments, dataset, launch, losses, save, work_folder


def sft(rows: list[DSft], base: Path, out: Path, params: Params) -> None:
    """Train `base` on the rows and leave the model in `out`."""
    name, revision = base_of(base)
    template = Template(params.policy.template, needs=("query",))
    with work_folder("sft", out) as work:
        trainer, lost = sft_trainer(sft_rows(rows, template), downloaded(name, revision), work, params)
        trainer.train()
        about = {
            "stage": "sft",
            "base": name if revision else base.name,
            "revision": revision,
            "d_sft": content_id([row.model_dump(mode="json") for row in rows]),
            "template": template.hash,
            "seed": params.base.seed,
        }
        counted = counts(len(rows), len(rows) - sum(lost.values()), lost)
        save(trainer, work, out, about, counted | {"steps": trainer.state.global_step, "log": losses(trainer)})


def sft_trainer(rows: list[dict], base: str, work: Path, params: Params):
    """Return (SFTTrainer, rows that cannot be trained on by reason) over TRL rows. Raises DataError."""
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    one_thread(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    if not tokenizer.chat_template:
        raise DataError(f"{base}: the tokenizer has no chat template; take an instruct model as base_model.name")
    kept, lost = fitting(rows, tokenizer, params.sft.max_length)
    if not kept:
        raise DataError(f"D_SFT has no row to train on: of {len(rows)}, dropped {lost}; see sft.max_length")
    config = SFTConfig(**arguments(params.sft, params.base.seed, work), completion_only_loss=True)
    trainer = SFTTrainer(model=base, args=config, train_dataset=dataset(kept, work), processing_class=tokenizer)
    return trainer, lost


@click.command("sft")
@click.argument("d_sft")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(d_sft, base, out, params_path):
    """D_SFT -> policy: fine-tune the base model on (x, s)."""
    params = load_params(params_path)
    rows = list(read_rows(d_sft, DSft))
    if not rows:
        raise DataError(f"{d_sft}: no rows, so nothing to train on")
    launch("train.sft", [d_sft, str(base), str(out), "--params", params_path], params.sft)
    sft(rows, base, out, params)


if __name__ == "__main__":
    sys.exit(main())
