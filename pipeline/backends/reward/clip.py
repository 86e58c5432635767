"""CLIP score: how well frames and text belong together (Hessel et al. 2021; Prompt-A-Video 4.2, Table 5).

Dimension CLIP = 100 x cosine, the mean over the frames, about 15 to 35 for ViT-L/14. Neither paper names its CLIP; it
is params.model. A text beyond CLIP's 77 tokens is cut off, so that the end of a long prompt is not scored: the stored
scores tell (`truncated`), and stage `reward` counts them.
"""

from functools import partial

from pipeline.backends.reward.clip_model import (
    BATCH,
    DTYPE,
    embed_frames,
    embed_texts,
    load_clip,
    mark_truncated,
    means,
)
from pipeline.backends.reward.frames import FEW, spread
from pipeline.backends.reward.in_process import InProcess, Look, Rate, Rated, need_libraries, provenance_of
from schemas.params_reward import RegressionScorerParams


def clip(params: RegressionScorerParams) -> InProcess:
    """Return the scorer; 4 frames as for Prompt-A-Video's other picture models. Raises DataError."""
    return by_cosine(params, "CLIP", 100)


def by_cosine(params: RegressionScorerParams, name: str, times: float) -> InProcess:
    """Return a scorer whose dimension `name` is `times` the mean cosine of frames and text."""
    need_libraries(params.backend)
    most, dtype = params.n_frames or FEW, params.dtype or DTYPE
    by = provenance_of(params, f"spread-{most}", dtype)
    make = partial(load, params, dtype, name, times)
    return InProcess(by, partial(spread, most=most), make, params.batch_size or BATCH)


def load(params: RegressionScorerParams, dtype: str, name: str, times: float) -> Rate:
    import torch

    model = load_clip(params, dtype)

    def rate(looks: list[Look]) -> list[Rated]:
        frames, texts = embed_frames(model, looks), embed_texts(model, looks)
        counts = torch.tensor([len(look.frames) for look in looks], device=texts.device)
        cosines = (frames * texts.repeat_interleave(counts, dim=0)).sum(dim=-1)
        values = [{name: times * value} for value in means(cosines, looks)]
        return [Rated(*item) for item in zip(values, mark_truncated(model, looks), strict=True)]

    return rate
