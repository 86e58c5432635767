"""D_SFT -> policy: supervised fine-tuning on the answers alone (VPO 3.2, Eq. 1), by TRL."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.llm.template import Template
from pipeline.runtime.imports import collect_later
from pipeline.runtime.io import DataError, read_rows
from pipeline.runtime.named_model import download, read_chat_template
from pipeline.runtime.one_thread import use_one_thread
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stand_ins import say_if_unreadable
from schemas.base import content_id
from schemas.d_sft import DSft
from schemas.params import Params
from schemas.stage import Declaration
from train.capacity import explain_exhaustion, refuse_without_room
from train.checkpoints import hash_weights, make_run_key, read_versions, train_with_checkpoints
from train.launch import launch
from train.lora import make_peft_config
from train.model_folder import load_tokenizer, read_base, read_dtype, read_origin
from train.throughput import describe_work, record_throughput
from train.trainer import describe_setting, make_arguments, make_dataset, open_work_folder, save_model
from train.trl_rows import FittingRows, select_fitting, to_sft_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from trl import SFTTrainer


def sft(rows: list[DSft], base: Path, out: Path, params: Params) -> None:
    """Train the model of folder `base` on the rows and leave the policy in folder `out`.

    Raises DataError for rows, a model or a machine that cannot be trained with.
    """
    train = params.sft
    name, revision = read_base(base)
    refuse_without_room(name, revision, train, out)
    model = download(name, revision)

    template = Template(params.policy.template, needs=("query",))
    trl_rows = to_sft_rows(rows, template)
    chat_template = read_chat_template(base)
    setting = describe_setting(train) | ({"chat_template": chat_template} if chat_template else {})
    weights = hash_weights(model)  # once: it reads them all, and 8B are 16 GB
    key = make_run_key("sft", trl_rows, weights, train, setting, params.base.seed)

    with explain_exhaustion("sft"), open_work_folder(key, out) as work:
        tokenizer = load_tokenizer(model, chat_template)
        fitting = select_fitting(trl_rows, tokenizer, train.max_length, train.long_rows)
        trainer = make_sft_trainer(fitting, model, work, params, tokenizer)
        record_throughput(trainer, describe_work("sft", read_origin(base), train))
        train_with_checkpoints(trainer, work, key, train.checkpoint_s)

        about = {
            "stage": "sft",
            "base": name if revision else base.name,
            "revision": revision,
            "origin": read_origin(base),
            "weights": weights,
            "d_sft": content_id([row.model_dump(mode="json") for row in rows]),
            "template": template.hash,
            "seed": params.base.seed,
            "lora": train.lora.model_dump(mode="json") if train.lora else None,
            "libraries": read_versions(),
        }
        dtype = params.policy.dtype or read_dtype(model)
        save_model(trainer, work, out, about, fitting.count_units(), origin=Path(model), dtype=dtype)


def make_sft_trainer(
    fitting: FittingRows,
    model: str,
    work: Path,
    params: Params,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> "SFTTrainer":
    """Return an SFTTrainer of the model in folder `model`, whose own tokenizer is null; `work` is the run's folder.

    Raises DataError where no row fits.
    """
    with collect_later():
        from trl import SFTConfig, SFTTrainer

    train = params.sft
    if not fitting.rows:
        raise DataError(f"D_SFT has no row to train on: dropped {fitting.dropped}; see sft.max_length")
    use_one_thread(model)
    arguments = make_arguments(train, params.base.seed, work)
    if train.padding_free:  # TRL then asks for rows that fit, and these do
        arguments |= {"padding_free": True, "max_length": None}
    return SFTTrainer(
        model=model,
        args=SFTConfig(**arguments, completion_only_loss=True),
        train_dataset=make_dataset(fitting.rows, work),
        processing_class=tokenizer or load_tokenizer(model),
        peft_config=make_peft_config(train.lora),
    )


STAGE = Declaration(reads=(DSft,), row=None, unit="row of D_SFT")


@click.command("sft")
@click.argument("d_sft")
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@option
def main(d_sft: str, base: Path, out: Path, params_path: str) -> None:
    """D_SFT -> policy: fine-tune the base model on (x, s)."""
    params = load_params(params_path)
    say_if_unreadable(params, params.base_model, ready=("d_sft",))
    rows = list(read_rows(d_sft, DSft))
    if not rows:
        raise DataError(f"{d_sft}: no rows, so nothing to train on")
    launch("train.sft", [d_sft, str(base), str(out), "--params", params_path], params.sft)
    sft(rows, base, out, params)


if __name__ == "__main__":
    sys.exit(main())
