"""CLIP's embeddings of frames and texts, for the reward models that are built on it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.backends.reward.in_process import Look, load_model, load_processor
from pipeline.llm.replies import neutralise
from schemas.params_reward import InProcessScorerParams

BATCH = 8
DTYPE = "float32"
"""Ours: in half precision a cosine near 0.3 has three digits, and clips of one query differ by less."""


@dataclass(frozen=True)
class ClipModel:
    """A CLIP model, its picture processor and its tokenizer."""

    model: Any
    pictures: Any
    tokens: Any

    @property
    def window(self) -> int:
        """The most tokens of a text that it reads, those that begin and end it included: 77."""
        return self.model.config.text_config.max_position_embeddings


def load_clip(params: InProcessScorerParams, dtype: str) -> ClipModel:
    """Return the CLIP model of a folder or Hub repository in transformers' layout. Raises DataError."""
    from transformers import CLIPModel

    return ClipModel(load_model(CLIPModel, params, dtype), *load_processors(params))


def load_processors(params: InProcessScorerParams) -> tuple[Any, Any]:
    """Return (picture processor, tokenizer)."""
    from transformers import CLIPImageProcessorPil, CLIPTokenizer

    pictures = load_processor(CLIPImageProcessorPil, params, ("preprocessor_config.json", "processor_config.json"))
    return pictures, load_processor(CLIPTokenizer, params, ("tokenizer.json", "vocab.json"))


def pixels(clip: ClipModel, looks: list[Look]) -> Any:
    """Return the frames of all clips as CLIP reads them: shorter edge and centre crop of the processor's size."""
    frames = [frame for look in looks for frame in look.frames]
    values = clip.pictures(images=frames, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    return values.to(clip.model.device, clip.model.dtype)


def read(clip: ClipModel, texts: list[str], **padding: Any) -> Any:
    """Return the token ids of the texts; what is longer than the window is cut off by the tokenizer.

    A user's text can hold no special token: one that ends the text would hide what follows.
    """
    tokens = clip.tokens(
        [neutralise(text) for text in texts], truncation=True, max_length=clip.window, return_tensors="pt", **padding
    )
    return tokens["input_ids"].to(clip.model.device)


def mark_truncated(clip: ClipModel, looks: list[Look]) -> list[bool]:
    """Tell of each clip whether `read` cuts its text."""
    tokens = clip.tokens([neutralise(look.text) for look in looks], verbose=False)
    return [len(ids) > clip.window for ids in tokens["input_ids"]]


def embed_frames(clip: ClipModel, looks: list[Look]) -> Any:
    """Return the frames' embeddings of length 1, float32 (frames of all clips, dimensions)."""
    return unit(clip.model.get_image_features(pixel_values=pixels(clip, looks)).pooler_output)


def embed_texts(clip: ClipModel, looks: list[Look]) -> Any:
    """Return the texts' embeddings of length 1, float32 (clips, dimensions)."""
    # attention goes backwards alone and the embedding is the end token's, so what pads the shorter texts is not seen
    ids = read(clip, [look.text for look in looks], padding=True)
    return unit(clip.model.get_text_features(input_ids=ids).pooler_output)


def unit(vectors: Any) -> Any:
    """Return the vectors, (..., dimensions), in float32 and of length 1."""
    return vectors.float() / vectors.float().norm(dim=-1, keepdim=True)


def means(values: Any, looks: list[Look]) -> list[float]:
    """Return each clip's mean over its frames, from the values (frames of all clips,)."""
    ends = np.cumsum([len(look.frames) for look in looks])[:-1]
    return [float(part.mean()) for part in np.split(values.double().cpu().numpy(), ends)]
