"""D_SFT -> policy: supervised fine-tuning on the answers alone (VPO 3.2, Eq. 1), by TRL."""

import sys
from pathlib import Path

import click

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.one_thread import one_thread
from pipeline.runtime.params_file import load_params, option
from schemas.base import content_id
from schemas.d_sft import DSft
from schemas.params import Params
from schemas.stage import Declaration
from train.base import base_of, downloaded, origin_of, tokenizer_of
from train.capacity import refuse_without_room, told_when_it_runs_out
from train.checkpoints import go_on, run_key, versions, weights_hash
from train.lora import peft_config
from train.run import arguments, dataset, launch, save, setting, work_folder
from train.throughput import measure, training
from train.trl_rows import Fitting, fitting, sft_rows


def sft(rows: list[DSft], base: Path, out: Path, params: Params) -> None:
    """Train `base` on the rows and leave the model in `out`."""
    name, revision = base_of(base)
    refuse_without_room(name, revision, params.sft, out)
    model = downloaded(name, revision)
    template = Template(params.policy.template, needs=("query",))
    told = sft_rows(rows, template)
    key = run_key("sft", told, model, params.sft, setting(params.sft), seed=params.base.seed)
    with told_when_it_runs_out("sft"), work_folder(key, out) as work:
        fit = fitting(told, tokenizer_of(model), params.sft.max_length, params.sft.long_rows)
        trainer = sft_trainer(fit, model, work, params)
        measure(trainer, training("sft", origin_of(base), params.sft))
        go_on(trainer, work, key, params.sft.checkpoint_s)
        about = {
            "stage": "sft",
            "base": name if revision else base.name,
            "revision": revision,
            "origin": origin_of(base),
            "weights": weights_hash(model),
            "d_sft": content_id([row.model_dump(mode="json") for row in rows]),
            "template": template.hash,
            "seed": params.base.seed,
            "lora": params.sft.lora.model_dump(mode="json") if params.sft.lora else None,
            "libraries": versions(),
        }
        save(trainer, work, out, about, fit.counts())


def sft_trainer(fit: Fitting, model: str, work: Path, params: Params):
    """Return an SFTTrainer over TRL rows. Raises DataError."""
    from trl import SFTConfig, SFTTrainer

    train = params.sft
    if not fit.rows:
        raise DataError(f"D_SFT has no row to train on: dropped {fit.lost}; see sft.max_length")
    one_thread(model)
    told = arguments(train, params.base.seed, work)
    if train.padding_free:  # TRL then asks for rows that fit, and these do
        told |= {"padding_free": True, "max_length": None}
    return SFTTrainer(
        model=model,
        args=SFTConfig(**told, completion_only_loss=True),
        train_dataset=dataset(fit.rows, work),
        processing_class=tokenizer_of(model),
        peft_config=peft_config(train.lora),
    )


STAGE = Declaration(reads=(DSft,), row=None, unit="row of D_SFT")


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
