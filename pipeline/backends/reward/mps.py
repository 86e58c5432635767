"""MPS: which picture people would prefer for a text, by named attributes (Zhang et al. 2024; Prompt-A-Video 3.2).

A CLIP ViT-H/14 gives the text token by token and the frame patch by patch; the patches attend to those tokens that have
to do with an attribute, and the score is exp(logit_scale) times the cosine of the frame then and the whole text.
Dimension MPS, about 8 to 15, the mean over 4 frames.

The authors' checkpoint is a pickled module, which is never loaded here; a .pt of its tensors (as Prompt-A-Video has)
`convert` beside this module makes safetensors. params.model is a folder (or Hub repository) with CLIP ViT-H/14's
config.json and processor files (laion/CLIP-ViT-H-14-laion2B-s32B-b79K) and the checkpoint's tensors as safetensors,
under the names that they have there (model.*, cross_model.*). The names are from the authors' code; the checkpoint was
not at hand. Those of the mirror RE-N-Y/mpsv1 (mps.model.*) are read too: its 4.42 GB are what these weights take in
float32, but that they are the authors' numbers could not be verified.
"""

from functools import partial
from typing import Any

from pipeline.backends.reward.clip_model import (
    BATCH,
    DTYPE,
    ClipModel,
    load_processors,
    mark_truncated,
    means,
    pixels,
    read,
    unit,
)
from pipeline.backends.reward.frames import FEW, spread
from pipeline.backends.reward.in_process import InProcess, Look, Rate, Rated, load_model, need_libraries, provenance_of
from schemas.base import content_id
from schemas.params_reward import RegressionScorerParams

CONDITION = (
    "light, color, clarity, tone, style, ambiance, artistry, shape, face, hair, hands, limbs, structure, instance, "
    "texture, quantity, attributes, position, number, location, word, things."
)
"""The attributes of the overall preference, as the authors' README asks with them."""
FAR = 0.3
"""A text token whose likeness to the attributes is at most this share of the likest one's is not attended to.

The authors' evaluation and Prompt-A-Video; the training code has 0.01.
"""
LAYERS, HEADS, HEAD_WIDTH, WIDER = 4, 16, 64, 4


def mps(params: RegressionScorerParams) -> InProcess:
    """Return the scorer. Raises DataError."""
    need_libraries(params.backend)
    most, dtype = params.n_frames or FEW, params.dtype or DTYPE
    by = provenance_of(params, f"condition-{content_id(CONDITION, FAR)}", f"spread-{most}", dtype)
    return InProcess(by, partial(spread, most=most), partial(load, params, dtype), params.batch_size or BATCH)


def load(params: RegressionScorerParams, dtype: str) -> Rate:
    import torch

    model = load_model(model_class(), params, dtype, rename={r"^mps\.": ""})
    clip = ClipModel(model.model, *load_processors(params))

    def tokens(texts: list[str]) -> tuple[Any, Any]:
        # the padding is read as well, as it was in training: it is part of text and attributes alike
        encoded = model.model.get_text_features(input_ids=read(clip, texts, padding="max_length"))
        return model.model.text_projection(encoded.last_hidden_state), encoded.pooler_output

    def rate(looks: list[Look]) -> list[Rated]:
        words, wholes = tokens([look.text for look in looks])
        hidden = attended_to(words, tokens([CONDITION])[0][0])
        patches = model.model.vision_model(pixel_values=pixels(clip, looks)).last_hidden_state
        patches = model.model.visual_projection(patches)
        counts = torch.tensor([len(look.frames) for look in looks], device=words.device)
        words, wholes, hidden = (values.repeat_interleave(counts, dim=0) for values in (words, wholes, hidden))
        attended = model.cross_model(patches, words, hidden)[:, 0]
        scores = model.model.logit_scale.float().exp() * (unit(attended) * unit(wholes)).sum(dim=-1)
        values = [{"MPS": value} for value in means(scores, looks)]
        return [Rated(*item) for item in zip(values, mark_truncated(clip, looks), strict=True)]

    return rate


def attended_to(words: Any, attributes: Any) -> Any:
    """Return what is added to the attention on each token, 0 or -inf, (texts, 1, tokens), from (tokens, dimensions)."""
    import torch

    likeness = (words @ attributes.T).amax(dim=-1)
    likeness = likeness / likeness.amax(dim=-1, keepdim=True)
    return torch.where(likeness > FAR, 0.0, float("-inf")).to(words.dtype)[:, None]


def model_class() -> type:
    """Return the class whose weights have the checkpoint's names; a function, so that torch is imported when needed."""
    import torch
    from torch import nn
    from transformers.models.clip.modeling_clip import CLIPModel, CLIPPreTrainedModel

    def linear(wide: int, out: int) -> nn.Linear:
        return nn.Linear(wide, out, bias=False)

    def apply_gate(values: Any) -> Any:
        values, gate = values.chunk(2, dim=-1)
        return nn.functional.silu(gate) * values

    def attend(queries: Any, keys: Any, values: Any, added: Any = 0.0) -> Any:
        """Many heads of queries, one of keys and values: (n, tokens, heads * width) from (n, context, width)."""
        queries = queries.unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2) * HEAD_WIDTH**-0.5
        likeness = queries @ keys[:, None].transpose(-1, -2) + added
        return (likeness.softmax(dim=-1) @ values[:, None]).transpose(1, 2).flatten(2)

    def rotate(values: Any) -> Any:
        """Rotary positions, pairs lying half a width apart: (n, tokens, heads * width)."""
        places = torch.arange(values.shape[1], device=values.device, dtype=torch.float32)
        speeds = 10000 ** -(torch.arange(0, HEAD_WIDTH, 2, device=values.device, dtype=torch.float32) / HEAD_WIDTH)
        angles = (places[:, None] * speeds).repeat(1, 2)[:, None]
        parts = values.unflatten(-1, (-1, HEAD_WIDTH))
        first, second = parts.chunk(2, dim=-1)
        return (parts * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()).to(values.dtype).flatten(2)

    class Cross(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.to_q, self.to_kv = linear(width, HEADS * HEAD_WIDTH), linear(width, 2 * HEAD_WIDTH)
            self.to_out = linear(HEADS * HEAD_WIDTH, width)
            # the names count the gate between the two, which has no weights
            self.ff = nn.ModuleDict({"0": linear(width, 2 * WIDER * width), "2": linear(WIDER * width, width)})

        def forward(self, patches: Any, words: Any, hidden: Any) -> Any:
            patches = self.norm(patches)
            keys, values = self.to_kv(words).chunk(2, dim=-1)
            attended = attend(self.to_q(patches), keys, values, hidden[:, None])
            return self.to_out(attended) + self.ff["2"](apply_gate(self.ff["0"](patches)))

    class Own(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.norm = nn.LayerNorm(width)
            self.parts = (HEADS * HEAD_WIDTH, HEAD_WIDTH, HEAD_WIDTH, 2 * WIDER * width)
            self.fused_attn_ff_proj = linear(width, sum(self.parts))
            self.attn_out = linear(HEADS * HEAD_WIDTH, width)
            self.ff_out = nn.ModuleDict({"1": linear(WIDER * width, width)})

        def forward(self, patches: Any) -> Any:
            queries, keys, values, wide = self.fused_attn_ff_proj(self.norm(patches)).split(self.parts, dim=-1)
            attended = attend(rotate(queries), rotate(keys), values)
            return self.attn_out(attended) + self.ff_out["1"](apply_gate(wide))

    class Added(nn.Module):
        def __init__(self, fn: nn.Module):
            super().__init__()
            self.fn = fn

        def forward(self, patches: Any, *more: Any) -> Any:
            return patches + self.fn(patches, *more)

    class Attention(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            pairs = ([Added(Cross(width)), Added(Own(width))] for _ in range(LAYERS))
            self.layers = nn.ModuleList(nn.ModuleList(pair) for pair in pairs)

        def forward(self, patches: Any, words: Any, hidden: Any) -> Any:
            for cross, own in self.layers:
                patches = own(cross(patches, words, hidden))
            return patches

    class Mps(CLIPPreTrainedModel):
        _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq$"]  # saved there, computed here

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.model = CLIPModel(config)
            self.cross_model = Attention(config.projection_dim)
            self.post_init()

    return Mps
