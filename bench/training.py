"""What the training options buy: `python -m bench.training` writes bench/results/training.md.

Two parts: on this machine's CPU, a model of the laptop's size by CPU seconds, each option beside the run without it;
and `python -m bench.training shape llama-3-8b`, which trains random weights of that shape beside a plain TRL default
run in the same call and tells tokens a second and MFU (on a machine without a GPU it says what is missing and runs the
tiny shape).
"""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click

from bench.page import read_basis, write_page
from pipeline.llm.template import Template
from pipeline.runtime.params_file import load_params
from schemas.params import Params
from train.dpo import make_dpo_trainer
from train.launch import launch_command
from train.sft import make_sft_trainer
from train.trl_rows import FittingRows, to_answer_turn, to_user_turn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"
WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("", "n", "r", "s")]
PEAK = {"H100": 989e12, "H200": 989e12, "B200": 2250e12, "A100": 312e12, "L40S": 362e12}
"""dense bfloat16 operations a second, by the makers' data sheets"""
WARM_STEPS = 2


class Shape(NamedTuple):
    """What a Llama is built of, and the rows it is timed on."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    vocab_size: int
    answer_words: tuple[int, int]
    steps: int
    global_batch_size: int
    micro: int


SHAPES = {
    "tiny": Shape(64, 128, 2, 4, 2, 600, (10, 60), 6, 8, 4),
    "llama-3-8b": Shape(4096, 14336, 32, 32, 8, 128256, (250, 700), 10, 16, 4),
}


def texts(n: int, least: int, most: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """Return n (query, chosen, rejected) of made-up words; lengths vary as prompts' do."""
    draw = random.Random(seed)

    def text(least, most):
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    return [(text(3, 12), text(least, most), text(least, most)) for _ in range(n)]


def made(shape: Shape, folder: Path, dtype: str) -> None:
    """Write a model of random weights, and a tokenizer that knows the chat format, to `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from train.tokenizer import train_tokenizer

    tokenizer = train_tokenizer([" ".join(WORDS)] * 3, 600)
    config = LlamaConfig(
        **{name: getattr(shape, name) for name in Shape._fields[:5]},
        vocab_size=max(shape.vocab_size, len(tokenizer)),
        max_position_embeddings=8192,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        LlamaForCausalLM._from_config(config, dtype=getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rows_of(params: Params, n: int, least: int, most: int) -> tuple[FittingRows, list[dict]]:
    """Return (rows of SFT, rows of DPO) in TRL's columns."""
    template = Template(str(ROOT / params.policy.template), needs=("query",))
    sft, dpo = [], []
    for query, chosen, rejected in texts(n, least, most):
        turn = to_user_turn(query, template)
        sft.append({"prompt": turn, "completion": to_answer_turn(chosen)})
        dpo.append({"prompt": turn, "chosen": to_answer_turn(chosen), "rejected": to_answer_turn(rejected)})
    return FittingRows(sft, list(range(n)), {}, 0), dpo


class Timed(NamedTuple):
    """One training run: CPU seconds of what comes before the first step and of each epoch, and where the loss went."""

    before_s: float
    epoch_s: float
    losses: list[float]


def timed(make, epochs: int) -> Timed:
    start = time.process_time()
    trainer = make()
    middle = time.process_time()
    trainer.train()
    end = time.process_time()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return Timed(middle - start, (end - middle) / epochs, losses)


def on_cpu(n: int, epochs: int) -> list[str]:
    """Return the lines of a table: every option beside the run without it, in one call."""
    from schemas.params_train import LoraParams

    params = load_params(ROOT / "params.yaml")
    told = {"num_train_epochs": epochs, "global_batch_size": 16, "launch": "single", "max_length": 1024}
    shape = SHAPES["tiny"]._replace(hidden_size=128, intermediate_size=256, vocab_size=3000)
    adapter = LoraParams(r=16, lora_alpha=16, lora_dropout=0.0, target_modules=("q_proj", "v_proj"))

    def sft(**values):
        return params.model_copy(update={"sft": params.sft.model_copy(update=told | values)})

    def dpo(**values):
        train = params.dpo.train.model_copy(update=told | values)
        return params.model_copy(update={"dpo": params.dpo.model_copy(update={"train": train})})

    def fresh(work):  # or the second time would find the log-probs of the first
        shutil.rmtree(work, ignore_errors=True)
        return work

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made(shape, folder / "model", "float32")
        fit, pairs = rows_of(params, n, 20, 160)
        model = str(folder / "model")
        runs = {
            "SFT, padded": lambda: make_sft_trainer(fit, model, folder / "0", sft()),
            "SFT, padding_free": lambda: make_sft_trainer(fit, model, folder / "1", sft(padding_free=True)),
            "SFT, LoRA": lambda: make_sft_trainer(fit, model, folder / "2", sft(lora=adapter)),
            "DPO, reference beside": lambda: make_dpo_trainer(
                pairs, model, folder / "3", dpo(precompute_ref_log_probs=False)
            ),
            "DPO, reference beforehand": lambda: make_dpo_trainer(
                pairs, model, fresh(folder / "4"), dpo(precompute_ref_log_probs=True)
            ),
        }
        timed(runs["SFT, padded"], epochs)  # the first run of a process loads libraries
        found = {}
        for name, make in [*runs.items()] * 2:  # the better of two: others use the caches of the machine too
            run = timed(make, epochs)
            old = found.get(name, run)
            found[name] = Timed(min(run.before_s, old.before_s), min(run.epoch_s, old.epoch_s), run.losses)
            click.echo(f"  {name}: {found[name].before_s:.1f} s before, {found[name].epoch_s:.1f} s an epoch", err=True)
    lines = ["| run | CPU s before step 1 | CPU s an epoch | last loss |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {run.before_s:.1f} | {run.epoch_s:.2f} | {run.losses[-1]:.6f} |" for name, run in found.items()
    ]
    beside, before = found["DPO, reference beside"], found["DPO, reference beforehand"]
    padded, free = found["SFT, padded"], found["SFT, padding_free"]

    def apart(one, other):
        return max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))

    pre_pass = before.before_s - beside.before_s
    with_it = (beside.before_s + epochs * beside.epoch_s) / (before.before_s + epochs * before.epoch_s)
    return [
        *lines,
        "",
        f"Reference beforehand: an epoch is {beside.epoch_s / before.epoch_s:.2f}x as fast; its pass costs "
        f"{pre_pass:.1f} s more before step 1, with which all {epochs} epochs are {with_it:.2f}x as fast. Losses of "
        f"all steps differ by at most {apart(beside, before):.1e}.",
        f"padding_free: an epoch is {padded.epoch_s / free.epoch_s:.2f}x as fast as padded; losses differ by at most "
        f"{apart(padded, free):.1e}. Without flash attention the rows laid end to end are masked, not skipped, so that "
        "on a CPU it costs more than padding; params.yaml leaves it off.",
    ]


def peak() -> float | None:
    """Return the GPUs' dense bfloat16 operations a second, None where that is not known."""
    import torch

    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((flops for part, flops in PEAK.items() if part in name), None)


def clock(trainer) -> dict:
    """Train and return tokens a second over all processes and MFU, from the steps after the first ones.

    Operations a token: 6 a weight (2 forward, 4 backward), and 6 x layers x hidden x length for causal attention; what
    checkpointing computes once more is not counted.
    """
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        tokens, rows, start, seconds = 0, 0, 0.0, 0.0

        def on_step_end(self, args, state, control, **kwargs):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if state.global_step == WARM_STEPS:
                self.start = time.perf_counter()
            self.seconds = time.perf_counter() - self.start

    at = Clock()
    trainer.add_callback(at)
    collate = trainer.data_collator

    def counted(rows):
        batch = collate(rows)
        if trainer.state.global_step >= WARM_STEPS:
            there, places = batch.get("attention_mask"), batch.get("position_ids")
            at.tokens += int(there.sum() if there is not None else batch["input_ids"].numel())
            at.rows += int((places == 0).sum()) if places is not None else len(batch["input_ids"])
        return batch

    trainer.data_collator = counted
    trainer.train()
    processes = trainer.args.world_size
    tokens_s = at.tokens * processes / at.seconds
    config, n = trainer.model.config, sum(getattr(w, "ds_numel", w.numel()) for w in trainer.model.parameters())
    length = at.tokens / at.rows
    operations = 6 * n + 6 * config.num_hidden_layers * config.hidden_size * length
    flops = peak()
    return {
        "tokens_s": round(tokens_s),
        "mfu": round(tokens_s * operations / (flops * processes), 3) if flops else None,
    }


def of_shape(name: str, folder: Path) -> dict[str, dict]:
    """Return run -> what was measured: ours and TRL's defaults, SFT and DPO, on random weights of a shape."""
    import torch
    from accelerate import PartialState
    from trl import SFTConfig, SFTTrainer

    shape, gpu = SHAPES[name], torch.cuda.is_available()
    params = load_params(ROOT / "params.yaml")
    common = {
        "max_steps": shape.steps, "num_train_epochs": 100, "global_batch_size": shape.global_batch_size,
        "per_device_train_batch_size": None if not gpu else shape.micro, "max_length": 2048, "bf16": gpu,
        "gradient_checkpointing": gpu, "learning_rate": 5e-7,
    }  # fmt: skip
    train = params.dpo.train.model_copy(update=common | {"precompute_ref_log_probs": True})
    params = params.model_copy(
        update={
            "sft": params.sft.model_copy(update=common | {"padding_free": True}),
            "dpo": params.dpo.model_copy(update={"train": train}),
        }
    )
    with PartialState().main_process_first():
        if not (folder / "model").exists():
            made(shape, folder / "model", "bfloat16" if gpu else "float32")
    model = str(folder / "model")
    fit, pairs = rows_of(params, shape.global_batch_size * shape.steps, *shape.answer_words)

    def default():
        config = SFTConfig(
            str(folder / "d"), max_steps=shape.steps, max_length=2048, bf16=gpu, use_cpu=not gpu, save_strategy="no",
            activation_checkpointing=gpu,
        )  # fmt: skip
        from train.trainer import make_dataset

        return SFTTrainer(model=model, args=config, train_dataset=make_dataset(fit.rows, folder / "d"))

    runs = {
        "SFT, ours": lambda: make_sft_trainer(fit, model, folder / "s", params),
        "DPO, ours": lambda: make_dpo_trainer(pairs, model, folder / "p", params),
        "SFT, TRL's defaults": default,
    }
    found = {}
    for run, make in runs.items():
        try:
            found[run] = clock(make())
        except torch.cuda.OutOfMemoryError as fault:
            found[run] = {"tokens_s": None, "mfu": None, "failed": str(fault).splitlines()[0][:100]}
        if gpu:
            torch.cuda.empty_cache()
        if PartialState().is_main_process:
            click.echo(f"  {run}: {found[run]}", err=True)
    return found


@click.group(invoke_without_command=True)
@click.pass_context
def main(ctx):
    """Measure the training options on this machine's CPU."""
    if ctx.invoked_subcommand is None:
        basis = read_basis("training")
        lines = on_cpu(160, 2)
        text = "\n".join(
            [
                "# Training: what the options buy",
                "",
                "A Llama of the laptop's size with random weights, 160 rows, two epochs, batch 16, one thread; CPU "
                "seconds, so ratios hold on a busy machine. `python -m bench.training` makes this page.",
                "",
                *lines,
                "",
                "Not here: 8B weights. `python -m bench.training shape llama-3-8b` on a machine with GPUs tells tokens "
                "a second and MFU beside TRL's defaults.",
                "",
            ]
        )
        write_page("training", text, basis)
        click.echo(text)


@main.command("shape")
@click.argument("name", type=click.Choice(sorted(SHAPES)))
@click.option("--folder", type=click.Path(path_type=Path), help="Where the random weights lie; 8B of them are 16 GB.")
def shape_command(name, folder):
    """Train random weights of a shape beside a plain TRL default run; tokens a second and MFU."""
    import torch

    gpus = torch.cuda.device_count()
    if not gpus and name != "tiny":
        click.echo(
            f"{name}: missing: a GPU (CUDA), bfloat16 kernels, DeepSpeed's optimizer; runs tiny instead", err=True
        )
        name = "tiny"
    folder = folder or Path(tempfile.mkdtemp())
    if gpus and "LOCAL_RANK" not in os.environ:
        params = load_params(ROOT / "params.yaml").sft.model_copy(
            update={"launch": "zero3", "bf16": True, "global_batch_size": SHAPES[name].global_batch_size}
        )
        command = launch_command("bench.training", ["shape", name, "--folder", str(folder)], params, gpus)
        os.execv(command[0], command)
    found = of_shape(name, folder)
    if os.environ.get("RANK", "0") == "0":
        device = torch.cuda.get_device_name() if gpus else "CPU"
        told = {"shape": name, "device": device, "processes": int(os.environ.get("WORLD_SIZE", "1")), "runs": found}
        if gpus:
            (RESULTS / f"training_{name}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        click.echo(json.dumps(told, indent=2))


if __name__ == "__main__":
    sys.exit(main())
