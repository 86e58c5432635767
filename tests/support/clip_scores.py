"""Asks the tiny reward models of the CLIP family; `folder` is that of fixture `clip_scorers`."""

from pipeline.backends.reward import make_reward
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny

TEXT = "a red ball"
CLIPS = [ScoreRequest(tiny.video(0), TEXT), ScoreRequest(tiny.video(1), "a cat that sleeps all day long in the sun")]


def params_of(folder, backend, **values):
    if backend == "aesthetic":
        values.setdefault("head", str(folder / "head.safetensors"))
    return tiny.params(backend, folder / ("mps" if backend == "mps" else "clip"), **values)


def score(params, items=CLIPS):
    return list(make_reward(params).map(items))


def values(outcomes):
    return [outcome.value.dims[0].value for outcome in outcomes]
