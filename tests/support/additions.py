"""A stage, a reward without weights, a renderer and an arm, as a person would add them by CONTRIBUTING.md."""

from pathlib import Path

STAGE = {
    "schemas/<name>.py": '''"""The row of stage `word_limit`."""

from schemas.base import Prompt


class WordLimit(Prompt):
    """A prompt of at most word_limit.max_words words."""
''',
    "pipeline/<name>.py": '''"""x, p -> p: leave out prompts of too many words (ours)."""

from collections.abc import Iterable, Iterator

import click

from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import stage_output
from schemas.base import Dropped, Prompt
from schemas.params import WordLimitParams
from schemas.reasons import Reason
from schemas.rollout import Rollout, prompt_class
from schemas.stage import Declaration
from schemas.word_limit import WordLimit


def word_limit(prompts: Iterable[Prompt], params: WordLimitParams) -> Iterator[WordLimit | Dropped]:
    """Yield each prompt that is short enough, or why it leaves."""
    for row in prompts:
        if len(row.prompt.split()) > params.max_words:
            yield Dropped(input_id=row.prompt_id, reason=Reason.TOO_LONG, arm=row.arm)
        else:
            yield WordLimit(**{name: getattr(row, name) for name in Prompt.model_fields})


STAGE = Declaration(reads=(Rollout,), row=WordLimit, unit="prompt")


@click.command("word_limit")
@click.argument("prompts")
@click.argument("out")
@option
def main(prompts: str, out: str, params_path: str) -> None:
    """x, p -> p: leave out prompts of too many words."""
    params = load_params(params_path)
    with stage_output(out, WordLimit) as writer:
        writer.write(word_limit(writer.read(prompts, prompt_class(prompts)), params.word_limit))
''',
    "tests/pipeline/test_<name>.py": """import pytest

from pipeline.word_limit import word_limit
from schemas.params import WordLimitParams
from tests.support.rows import critique_row


@pytest.mark.parametrize(("words", "stays"), [(1, True), (4, True), (5, False)])
def test_a_prompt_may_have_as_many_words_as_the_params_say(words, stays):
    (row,) = word_limit([critique_row(prompt="dog " * words)], WordLimitParams(max_words=4))
    assert getattr(row, "reason", None) == (None if stays else "too_long")
""",
}
STAGE_EDITS = {
    "schemas/params.py": {
        "class CritiqueParams(Section):": "class WordLimitParams(Section):\n    max_words: int = Field(ge=1)\n\n\n"
        "class CritiqueParams(Section):",
        "    critique: CritiqueParams\n": "    critique: CritiqueParams\n    word_limit: WordLimitParams\n",
    },
    "params.yaml": {"\ncritique:\n": "\nword_limit:\n  max_words: 60                  # ours\n\ncritique:\n"},
    "dvc.yaml": {
        "  critique:\n    foreach: {sft: {prompts: fewshot}, dpo: {prompts: rollout}}\n": """\
  word_limit:
    foreach: {sft: {prompts: fewshot}, dpo: {prompts: rollout}}
    do:
      desc: x, p -> p of few words
      cmd: python -m pipeline word_limit data/${key}/${item.prompts}.jsonl data/${key}/word_limit.jsonl
      deps:
        - data/code/word_limit.json
        - data/${key}/${item.prompts}.jsonl
      params: [word_limit]
      outs:
        - data/${key}/word_limit.jsonl
        - data/${key}/word_limit_dropped.jsonl
      metrics:
        - results/${key}/word_limit.json: {cache: false}

  critique:
    foreach: {sft: {prompts: word_limit}, dpo: {prompts: word_limit}}
"""
    },
}

REWARD = {
    "pipeline/backends/reward/<name>.py": '''"""How sharp a clip is: the mean step between neighbouring pixels."""

from collections.abc import Iterable, Iterator

import numpy as np

from pipeline.runtime.fingerprint import source_hash
from pipeline.video.clips import BadClip, decode
from schemas.base import Provenance
from schemas.params_reward import SharpnessParams
from schemas.reasons import Reason
from schemas.reward import Dimension
from schemas.seams import Outcome, ScoreRequest, Scores


class Sharpness:
    """One dimension, SHARP; the text is not read."""

    def __init__(self, params: SharpnessParams):
        self.by = Provenance(backend="sharpness", model="sharpness", revision=source_hash([__file__]))

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        for item in items:
            try:
                light = decode(item.clip).mean(axis=-1)
            except BadClip as fault:
                yield Outcome(reason=Reason.BAD_CLIP, detail=str(fault))
                continue
            value = round(float(np.abs(np.diff(light, axis=-1)).mean()), 4)
            yield Outcome(value=Scores(dims=(Dimension(name="SHARP", value=value),)), by=self.by)
''',
    "tests/pipeline/backends/reward/test_<name>.py": """from pipeline.backends.reward.sharpness import Sharpness
from schemas.params_reward import SharpnessParams
from schemas.seams import ScoreRequest


def test_what_is_no_clip_has_no_score():
    scorer = Sharpness(SharpnessParams(backend="sharpness", scored_text="query"))
    (outcome,) = scorer.map([ScoreRequest(b"no clip", "a dog")])
    assert outcome.reason == "bad_clip"
""",
}
REWARD_EDITS = {
    "pipeline/backends/reward/__init__.py": {
        "from pipeline.backends.reward.videoscore": "from pipeline.backends.reward.sharpness import Sharpness\n"
        "from pipeline.backends.reward.videoscore",
        '    "checklist": Checklist,\n': '    "checklist": Checklist,\n    "sharpness": Sharpness,\n',
    },
    "schemas/params_reward.py": {
        "class ModelScorerParams": """class SharpnessParams(ScorerParams):
    NEEDS: ClassVar[Needs] = Needs(device="cpu", extras=("video",))

    backend: Literal["sharpness"]


class ModelScorerParams""",
        "    | OfflineDimsParams\n": "    | OfflineDimsParams\n    | SharpnessParams\n",
    },
}

RENDERER = {
    "pipeline/backends/renderer/<name>.py": '''"""Noise in the place of a video, whatever is asked."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from pipeline.runtime.fingerprint import source_hash
from pipeline.video.clips import make_clip
from schemas.base import Provenance
from schemas.params_render import NoiseRenderParams
from schemas.seams import Clip, Outcome, RenderRequest


class Noise:
    """Draws noise by the seed alone."""

    def __init__(self, params: NoiseRenderParams):
        self.needs = params.needs
        self.by = Provenance(backend="noise", model="noise", revision=source_hash([__file__]))
        self.settings: dict[str, Any] = {
            name: getattr(params, name) for name in ("n_frames", "height", "width", "frames_per_second")
        }
        self.token_limit: int | None = None

    def count_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        shape = tuple(self.settings[name] for name in ("n_frames", "height", "width"))
        for request in requests:
            frames = np.random.default_rng(request.seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
            yield Outcome(value=make_clip(frames, self.settings["frames_per_second"]), by=self.by)
''',
    "tests/pipeline/backends/renderer/test_<name>.py": """from pipeline.backends.renderer.noise import Noise
from schemas.params_render import NoiseRenderParams
from schemas.seams import RenderRequest


def test_a_seed_draws_the_same_frames_whatever_the_prompt():
    keys = dict(n_frames=2, height=16, width=16, frames_per_second=8, negative_prompt="", long_prompts="truncate")
    params = NoiseRenderParams(backend="noise", shorten_template="", clips_per_shard=1, **keys)
    one, other = Noise(params).map([RenderRequest("a dog", 3), RenderRequest("a cat", 3)])
    assert one.value.frames_hash == other.value.frames_hash
""",
}
RENDERER_EDITS = {
    "pipeline/backends/renderer/__init__.py": {
        "from pipeline.backends.renderer.offline": "from pipeline.backends.renderer.noise import Noise\n"
        "from pipeline.backends.renderer.offline",
        '    "offline": Offline,\n': '    "offline": Offline,\n    "noise": lambda params, world: Noise(params),\n',
    },
    "schemas/params_render.py": {
        "class DiffusersRenderParams": """class NoiseRenderParams(RendererParams):
    NEEDS: ClassVar[Needs] = Needs(device="cpu", extras=("video",))

    backend: Literal["noise"]
    n_frames: int = Field(gt=0)
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    frames_per_second: float = Field(gt=0)


class DiffusersRenderParams""",
        "_Render = OfflineRenderParams | ": "_Render = OfflineRenderParams | NoiseRenderParams | ",
    },
}

ADDITIONS = {
    "stage": ("word_limit", STAGE, STAGE_EDITS),
    "reward": ("sharpness", REWARD, REWARD_EDITS),
    "renderer": ("noise", RENDERER, RENDERER_EDITS),
}


def add(what: str, root: Path) -> str:
    """Write an addition's files into a copy of the project; return its name. Each edited text must stand there once."""
    name, files, edits = ADDITIONS[what]
    for path, content in files.items():
        (root / path.replace("<name>", name)).write_text(content)
    for path, replacements in edits.items():
        text = (root / path).read_text()
        for old, new in replacements.items():
            assert text.count(old) == 1, f"{path}: {old}"
            text = text.replace(old, new)
        (root / path).write_text(text)
    return name
