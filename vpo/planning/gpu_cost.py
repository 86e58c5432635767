"""A row of the plan, and what one unit of it costs on a GPU: measured, else published, else assumed, else unknown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.backends.renderer.facts import Facts
from pipeline.runtime.speeds import CPU, HOST, Work, read_speeds
from schemas.needs import Reading
from schemas.params_render import DiffusersRenderParams
from schemas.params_train import DpoTrainParams, TrainParams

UNKNOWN = "unknown: run vpo plan --warm-up"
SHARE = 0.4
"""ours: of the peak, what training of dense transformers reaches when it goes well"""
PEAK = {True: (989e12, "H100, bf16"), False: (67e12, "H100, float32")}
"""bf16 -> FLOPs a second of an H100 SXM (NVIDIA's data sheet, dense), and its name"""


READ_SHARE = 0.1
"""ours: of the peak in bf16, what reading clips one by one reaches"""
STEP_S = 0.03
"""ours: seconds of a decoding step of transformers, for all texts that are written side by side"""
SIZE = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)[bB](?![A-Za-z0-9])")
"""the billions of weights in a model's name, such as the 8B of Meta-Llama-3-8B-Instruct"""

OFFLOADS = ("sequential", "group", "model", "none")
"""from the least GPU memory to the most"""


class Cost(NamedTuple):
    """Device-seconds a unit, None where nobody knows; `device` is what they are of."""

    seconds: float | None
    source: str
    device: str = ""


@dataclass
class GpuRow:
    """Clips, scores or tokens of one stage and model; None is unknown.

    `gpu_gigabytes` are the least that its GPUs must have together, `disk_gigabytes` those of clips to make, in the
    store and in the shards; `usd` is what a host takes for them.
    """

    stage: str
    unit: str
    backend: str
    model: str
    wanted: float = 0.0
    in_store: float | None = 0.0
    to_make: float = 0.0
    seconds_each: float | None = None
    source: str = ""
    gpu_hours: float | None = 0.0
    cpu_hours: float | None = 0.0
    gpu_gigabytes: float | None = None
    disk_gigabytes: float | None = None
    usd: float | None = 0.0
    rows_from: str = ""
    notes: list[str] = field(default_factory=list)

    def costs(self, cost: Cost | None, on_cpu: bool) -> "GpuRow":
        """Set what the units to make take; what costs nothing on a GPU may still take a CPU's time."""
        self.seconds_each, self.source, device = cost or Cost(None, UNKNOWN)
        hours = None if self.seconds_each is None else self.to_make * self.seconds_each / 3600
        elsewhere = on_cpu or device in (CPU, HOST)
        self.gpu_hours = 0.0 if elsewhere or not self.to_make else hours
        self.cpu_hours = hours if (on_cpu or device == CPU) and self.to_make else 0.0
        if on_cpu:
            self.gpu_gigabytes = 0.0
            self.source = self.source if cost else "offline: nothing on a GPU"
        return self


def idle(row: GpuRow, there: float, why: str = "unchanged: does not run") -> GpuRow:
    """Return the row of a stage that makes nothing."""
    row.wanted, row.in_store, row.to_make = there, there, 0.0
    row.notes.append(why)
    return row


def read_cost(folder: Path, work: Work | None) -> Cost | None:
    """Return what was measured of some work: on a GPU before a CPU, without loading before with it, the newest."""
    measurements = read_speeds(folder, work) if work else []
    if not measurements:
        return None
    best = min(measurements, key=lambda speed: (speed.with_loading, speed.device == CPU))
    loading = ", loading of the model included" if best.with_loading else ""
    return Cost(best.each, f"measured on {best.device}{loading}", best.device)


def cost_of_facts(params: DiffusersRenderParams, facts: Facts | None, settings: Mapping) -> Cost | None:
    """Return what a model's authors publish for a clip, on an H100 where they say so.

    It is scaled by steps and pixels where `settings`, or else the params, are not the authors'.
    """
    if facts is None or not facts.seconds_per_clip:
        return None
    device = "H100" if "H100" in facts.seconds_per_clip else next(iter(facts.seconds_per_clip))
    scale = 1.0
    for name in ("num_inference_steps", "n_frames", "height", "width"):
        value = settings.get(name) or getattr(params, name)
        scale *= (value or getattr(facts, name)) / getattr(facts, name)
    source = f"published for {device}"
    if scale != 1:
        source += f", times {scale:.2g} for steps and pixels that are not the authors' (assumed)"
    return Cost(facts.seconds_per_clip[device] * scale, source, device)


def memory(params: DiffusersRenderParams, facts: Facts | None) -> tuple[float | None, list[str]]:
    """Return the least GPU memory that a model's authors name for how it is run, and what that figure assumes.

    Where they name none for this offload it is that of the next one, which needs less.
    """
    if facts is None:
        return None, []
    offload = params.offload or facts.offload
    named = [kind for kind in OFFLOADS[: OFFLOADS.index(offload) + 1] if kind in facts.gpu_gigabytes]
    if not named:
        return None, []
    assumed = []
    if named[-1] != offload:
        assumed.append(f"render.offload {offload} takes more: GPU gigabytes are published with offload {named[-1]}")
    if facts.vae_tiling and params.vae_tiling is False:
        assumed.append("render.vae_tiling false takes more: GPU gigabytes are published with it")
    return facts.gpu_gigabytes[named[-1]], assumed


def size_of(name: str) -> float | None:
    """Return the weights that a model's name tells of, None where it does not."""
    billions = SIZE.search(name)
    return float(billions[1]) * 1e9 if billions else None


def scoring(reading: Reading | None, model: str, questions: int) -> Cost | None:
    """Return what a score costs by what is read for it: 2 N FLOPs a token; None where nobody can say."""
    weights = reading and (reading.weights or size_of(model))
    if reading is None or not weights:
        return None
    tokens = reading.tokens * (questions if reading.asks else 1)
    source = (
        f"assumed: {weights / 1e9:.3g}B weights read {tokens:,} tokens a score, at {100 * READ_SHARE:.0f} % of an H100"
    )
    return Cost(2 * weights * tokens / (READ_SHARE * PEAK[True][0]), source, "H100")


def sampling(tokens: float, side_by_side: int) -> Cost:
    """Return what a text costs that is written with others side by side: a share of each step."""
    source = f"assumed: {tokens:.0f} tokens a text, {side_by_side} side by side at {STEP_S * 1000:.0f} ms a step (H100)"
    return Cost(tokens * STEP_S / side_by_side, source, "H100")


def training(params: TrainParams, n: int) -> Cost:
    """Return what a token of training costs a model of `n` weights: 2 N FLOPs forward, 4 N back.

    Gradient checkpointing goes forward once more, DPO's reference too: once in all where its log-probs are
    precomputed.
    """
    passes = 6.0 + 2.0 * params.gradient_checkpointing
    if isinstance(params, DpoTrainParams):
        passes += 2.0 / max(params.num_train_epochs, 1.0) if params.precompute_ref_log_probs else 2.0
    peak, name = PEAK[params.bf16]
    source = f"assumed: {passes:.2g} N FLOPs a token at {SHARE:.0%} of {peak / 1e12:.0f} TFLOPS ({name})"
    return Cost(passes * n / (SHARE * peak), source.replace("%", " %"), "H100")
