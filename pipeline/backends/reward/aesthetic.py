"""LAION's aesthetic predictor V1: one linear layer on CLIP ViT-L/14's picture embedding (Prompt-A-Video 3.2).

Dimension AES, about 1 to 10 and mostly 4 to 6.5, the mean over 4 frames. The text is not read. V2 ("improved") is
another model with another scale.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.backends.reward.clip_model import BATCH, DTYPE, ClipModel, embed_frames, load_clip, means
from pipeline.backends.reward.frames import FEW, spread
from pipeline.backends.reward.in_process import InProcess, Look, Rate, Rated, need_libraries, provenance_of
from pipeline.backends.weights import PICKLES
from pipeline.runtime.io import DataError
from schemas.params_reward import AestheticParams


def aesthetic(params: AestheticParams) -> InProcess:
    """Return the scorer of CLIP params.model and head params.head. Raises DataError."""
    need_libraries(params.backend)
    head = head_file(params.head)
    most, dtype = params.n_frames or FEW, params.dtype or DTYPE
    digest = hashlib.sha256(head.read_bytes()).hexdigest()[:16]
    by = provenance_of(params, f"head-{digest}", f"spread-{most}", dtype)
    return InProcess(by, partial(spread, most=most), partial(load, params, head, dtype), params.batch_size or BATCH)


def head_file(head: str) -> Path:
    """Return the safetensors file of the head. Raises DataError; for the authors' .pth it says how to convert it."""
    path = Path(head)
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if path.suffix in PICKLES:
        raise DataError(
            f"{head}: a pickle, which can run code when it is loaded; convert it once: "
            f"python -m pipeline.backends.reward.convert {head} {path.with_suffix('.safetensors')}"
        )
    if not path.exists():
        raise DataError(f"{head}: no such file; reward's head is a safetensors file, or a folder with one")
    if len(files) != 1 or not files[0].is_file():
        raise DataError(f"{head}: reward's head must be a safetensors file, or a folder with one; {len(files)} there")
    return files[0]


def load(params: AestheticParams, head: Path, dtype: str) -> Rate:
    model = load_clip(params, dtype)
    weight, bias = load_head(model, head)

    def rate(looks: list[Look]) -> list[Rated]:
        values = embed_frames(model, looks) @ weight + bias
        return [Rated({"AES": value}) for value in means(values, looks)]

    return rate


def load_head(model: ClipModel, head: Path) -> tuple[Any, Any]:
    """Return (weight, float32 (dimensions,), bias (1,)). Raises DataError for another layout than the predictor's."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(head)
    except SafetensorError as fault:
        raise DataError(f"{head}: not a safetensors file: {fault}") from None
    shapes = {name: tuple(tensor.shape) for name, tensor in sorted(tensors.items())}
    expected = {"bias": (1,), "weight": (1, model.model.config.projection_dim)}
    if shapes != expected:
        raise DataError(f"{head}: holds {shapes}; a head of this CLIP model has {expected}")
    weight, bias = (tensors[name].float().flatten().to(model.model.device) for name in ("weight", "bias"))
    return weight, bias
