"""D_SFT -> policy: supervised fine-tuning on the answers alone (VPO 3.2, Eq. 1), by TRL."""

import sys
from pathlib import Path

import click

from pipeline.io import DataError, read_rows
from pipeline.params import load_params, option
from pipeline.words import Template
from schemas.base import content_id
from schemas.d_sft import DSft
from schemas.params import Params
from train.base import base_of
from train.rows import sft_rows, that_fit
from train.run import arguments, launch, losses, save, work_folder


def sft(rows: list[DSft], base: Path, out: Path, params: Params) -> None:
    """Train `base` on the rows and leave the model in `out`."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    template = Template(params.policy.template, needs=("query",))
    name, revision = base_of(base)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    if not tokenizer.chat_template:
        raise DataError(f"{name}: the tokenizer has no chat template; take an instruct model as base_model.name")
    kept, too_long = that_fit(sft_rows(rows, template), tokenizer, params.sft.max_length)
    if not kept:
        raise DataError(
            f"D_SFT has no row of at most sft.max_length {params.sft.max_length} tokens: nothing to train on"
        )
    work = work_folder("sft", str(out.resolve()))
    config = SFTConfig(
        **arguments(params.sft, params.base.seed, work),
        max_length=params.sft.max_length,
        completion_only_loss=True,
        model_init_kwargs={"dtype": "bfloat16" if params.sft.bf16 else "float32", "revision": revision},
    )
    trainer = SFTTrainer(model=name, args=config, train_dataset=Dataset.from_list(kept), processing_class=tokenizer)
    trainer.train()
    about = {
        "stage": "sft",
        "base": name if revision else base.name,
        "revision": revision,
        "d_sft": content_id([row.model_dump(mode="json") for row in rows]),
        "template": template.hash,
        "seed": params.base.seed,
    }
    counted = {
        "units_in": len(rows),
        "units_done": len(kept),
        "units_dropped": too_long,
        "dropped": {"too_long": too_long} if too_long else {},
        "steps": trainer.state.global_step,
        "log": losses(trainer),
    }
    save(trainer, work, out, about, counted)


@click.command("sft")
@click.argument("d_sft")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(d_sft, base, out, params_path):
    """D_SFT -> policy: fine-tune the base model on (x, s)."""
    params = load_params(params_path)
    launch("train.sft", params.sft.launch)
    rows = list(read_rows(d_sft, DSft))
    if not rows:
        raise DataError(f"{d_sft}: no rows, so nothing to train on")
    sft(rows, base, out, params)


if __name__ == "__main__":
    sys.exit(main())
