"""What a clip, a score or a token costs on a GPU: as measured, else as published, else as assumed, else unknown."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.backends.renderer.facts import Facts
from pipeline.speeds import CPU, Work, speeds
from schemas.params import DpoTrain, Render, Train

UNKNOWN = "unknown: run vpo plan --warm-up"
SHARE = 0.4
"""ours: of the peak, what training of dense transformers reaches when it goes well"""
PEAK = {True: (989e12, "H100, bf16"), False: (67e12, "H100, float32")}
"""bf16 -> FLOPs a second of an H100 SXM (NVIDIA's data sheet, dense), and its name"""


class Cost(NamedTuple):
    """Device-seconds a unit, None where nobody knows; `device` is what they are of."""

    seconds: float | None
    source: str
    device: str = ""


def measured(folder: Path, work: Work | None) -> Cost | None:
    """Return what was measured of some work: on a GPU before a CPU, without loading before with it, the newest."""
    found = speeds(folder, work) if work else []
    if not found:
        return None
    best = min(found, key=lambda speed: (speed.with_loading, speed.device == CPU))
    loading = ", loading of the model included" if best.with_loading else ""
    return Cost(best.each, f"measured on {best.device}{loading}", best.device)


def published(params: Render, facts: Facts | None, settings: Mapping) -> Cost | None:
    """Return what a model's authors publish for a clip, on an H100 where they say so.

    It is scaled by steps and pixels where `settings`, or else the params, are not the authors'.
    """
    if facts is None or not facts.seconds_per_clip:
        return None
    device = "H100" if "H100" in facts.seconds_per_clip else next(iter(facts.seconds_per_clip))
    scale = 1.0
    for name in ("num_inference_steps", "n_frames", "height", "width"):
        told = settings.get(name) or getattr(params, name)
        scale *= (told or getattr(facts, name)) / getattr(facts, name)
    source = f"published for {device}"
    if scale != 1:
        source += f", times {scale:.2g} for steps and pixels that are not the authors' (assumed)"
    return Cost(facts.seconds_per_clip[device] * scale, source, device)


def training(params: Train, n: int) -> Cost:
    """Return what a token of training costs a model of `n` weights: 2 N FLOPs forward, 4 N back.

    Gradient checkpointing goes forward once more, DPO's reference too: once in all where its log-probs are
    precomputed.
    """
    passes = 6.0 + 2.0 * params.gradient_checkpointing
    if isinstance(params, DpoTrain):
        passes += 2.0 / max(params.num_train_epochs, 1.0) if params.precompute_ref_log_probs else 2.0
    peak, name = PEAK[params.bf16]
    source = f"assumed: {passes:.2g} N FLOPs a token at {SHARE:.0%} of {peak / 1e12:.0f} TFLOPS ({name})"
    return Cost(passes * n / (SHARE * peak), source.replace("%", " %"), "H100")
