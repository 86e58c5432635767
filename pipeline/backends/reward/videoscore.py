"""VideoScore: five regressions of an Idefics2 that reads an instruction, the text and the frames (He et al. 2024).

Dimensions VQ, TC, DD, TVA and FC as they come, mostly 1 to 4 (Prompt-A-Video 3.2; it scores against the user's text).
The instruction (pipeline/templates/videoscore.jinja) is ours; the model was trained with its authors' words, so put
these in its place where figures are to compare with published ones. The revision tells its hash, the frames and the
precision. v1 (TIGER-Lab/VideoScore, 16 frames) and v1.1 (48) do not compare.
"""

from functools import partial
from pathlib import Path
from typing import Any

from pipeline.backends.reward.frames import VIDEOSCORE, spread
from pipeline.backends.reward.in_process import (
    InProcess,
    Look,
    Rate,
    Rated,
    device,
    load_model,
    load_processor,
    need_libraries,
    provenance_of,
)
from pipeline.llm.template import Template
from schemas.params_reward import RegressionScorerParams

TEMPLATE = Path(__file__).parents[2] / "templates" / "videoscore.jinja"
DIMENSIONS = ("VQ", "TC", "DD", "TVA", "FC")
BATCH = 4
DTYPE = "bfloat16"
"""The authors' code; 8 billion weights are 17 GB."""


def videoscore(params: RegressionScorerParams, template: Path = TEMPLATE) -> InProcess:
    """Return the scorer; `template` reads `text`. Raises DataError."""
    need_libraries(params.backend)
    words = Template(template, needs=("text",))
    most, dtype = params.n_frames or VIDEOSCORE, params.dtype or DTYPE
    by = provenance_of(params, f"words-{words.hash}", f"spread-{most}", dtype).model_copy(
        update={"template": words.hash}
    )
    return InProcess(by, partial(spread, most=most), partial(load, params, words, dtype), params.batch_size or BATCH)


def load(params: RegressionScorerParams, words: Template, dtype: str) -> Rate:
    import torch
    from PIL import Image
    from transformers import AutoTokenizer, Idefics2ImageProcessorPil, Idefics2Processor

    model = load_model(model_class(), params, dtype)
    # taken by its parts, since the whole takes the picture processor that needs torchvision
    pictures = load_processor(Idefics2ImageProcessorPil, params, ("preprocessor_config.json", "processor_config.json"))
    tokens = load_processor(AutoTokenizer, params, ("tokenizer.json", "tokenizer.model"), trust_remote_code=False)
    processor = Idefics2Processor(pictures, tokens, image_seq_len=model.config.perceiver_config.resampler_n_latents)
    # what fills up a shorter row must come after its end, where attention does not see it
    processor.tokenizer.padding_side = "right"

    def rate(looks: list[Look]) -> list[Rated]:
        inputs = processor(
            text=[words.fill(text=look.text) + " " + "<image> " * len(look.frames) for look in looks],
            images=[[Image.fromarray(frame) for frame in look.frames] for look in looks],
            padding=True, return_tensors="pt",
        )  # fmt: skip
        hidden = model.model(**inputs.to(device()), use_cache=False).last_hidden_state
        last = inputs["attention_mask"].sum(dim=1) - 1
        rows = model.score(hidden[torch.arange(len(looks), device=hidden.device), last]).float().tolist()
        return [Rated(dict(zip(DIMENSIONS, values, strict=True))) for values in rows]

    return rate


def model_class() -> type:
    """Return the class with the names of the authors' weights (model.*, score.*), which transformers does not have."""
    from torch import nn
    from transformers.models.idefics2.modeling_idefics2 import Idefics2Model, Idefics2PreTrainedModel

    class VideoScore(Idefics2PreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.model = Idefics2Model(config)
            self.score = nn.Linear(config.text_config.hidden_size, len(DIMENSIONS))
            self.post_init()

    return VideoScore
