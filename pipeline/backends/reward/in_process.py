"""What the reward models in this process share: frames of several clips at once, weights loaded at the first of them.

Only safetensors whose names are exactly the model's are loaded, and never code that comes with a model (ours: design
17): a layer that is left at random rates all the same, and nobody sees it in the numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from pipeline.backends.batches import BatchSize, run_batches
from pipeline.backends.weights import name_of, revision_of
from pipeline.runtime.io import DataError
from pipeline.runtime.one_thread import use_one_thread
from pipeline.runtime.progress import hide_noise
from pipeline.video.clips import BadClip, decode
from schemas.base import Provenance
from schemas.params_reward import InProcessScorerParams
from schemas.reasons import Reason
from schemas.reward import Dimension
from schemas.seams import Outcome, ScoreRequest, Scores

DIGITS = 5
"""Decimals that are kept: beyond them a value hangs on which clips shared a batch."""


class Look(NamedTuple):
    """What a model sees of a clip: some of its frames, uint8 RGB (n, height, width, 3), and the text."""

    frames: np.ndarray
    text: str


class Rated(NamedTuple):
    """The values of a clip by dimension; `truncated` as in Scores."""

    dims: dict[str, float]
    truncated: bool | None = None


Rate = Callable[[list[Look]], list[Rated]]
"""Rates several clips."""


class InProcess:
    """A reward model in this process; `load` gives what rates, and is called at the first clip."""

    def __init__(
        self, by: Provenance, frames: Callable[[np.ndarray], np.ndarray], load: Callable[[], Rate], at_once: int
    ):
        self.by, self.frames, self.load, self.at_once = by, frames, load, at_once

    @cached_property
    def rate(self) -> Rate:
        return self.load()

    def map(self, items: Iterable[ScoreRequest]) -> Iterator[Outcome[Scores]]:
        size = BatchSize(self.at_once, "reward", self.by.backend, self.by.model, self.by.revision)
        for outcomes in run_batches(map(self.look, items), size, self.rate_batch):
            yield from outcomes

    def look(self, item: ScoreRequest) -> Look | BadClip:
        try:
            return Look(np.array(self.frames(decode(item.clip))), item.text)
        except BadClip as fault:
            return fault

    def rate_batch(self, batch: list[Look | BadClip]) -> list[Outcome[Scores]]:
        import torch

        looks = [item for item in batch if isinstance(item, Look)]
        with torch.inference_mode():
            rated = iter(self.rate(looks) if looks else [])
        return [self.outcome(next(rated)) if isinstance(item, Look) else bad(item) for item in batch]

    def outcome(self, rated: Rated) -> Outcome[Scores]:
        dims = tuple(Dimension(name=name, value=round(value, DIGITS)) for name, value in rated.dims.items())
        return Outcome(value=Scores(dims=dims, truncated=rated.truncated), by=self.by)


def bad(fault: BadClip) -> Outcome[Scores]:
    return Outcome(reason=Reason.BAD_CLIP, detail=str(fault))


def provenance_of(params: InProcessScorerParams, *how: str) -> Provenance:
    """Return who rates; the revision is the weights' and then `how`: all else that shapes a value.

    Raises DataError for weights that are not pinned, or are pickles.
    """
    revision = " ".join([revision_of(params.model, params.revision), *how])
    return Provenance(backend=params.backend, model=name_of(params.model), revision=revision)


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def need_libraries(backend: str) -> None:
    """Raise DataError where a library is lacking; looking for them loads none."""
    if lacking := [name for name in ("torch", "transformers", "PIL", "av") if find_spec(name) is None]:
        raise DataError(f"reward backend {backend} needs {', '.join(lacking)}: pip install -e '.[reward]'")


def load_model(kind: Any, params: InProcessScorerParams, dtype: str, rename: dict[str, str] | None = None) -> Any:
    """Return a model of class `kind`, on the device and ready to rate.

    `rename` maps patterns of the file's names to the class's. Raises DataError when a weight is lacking, beyond the
    model, of another shape, or not in safetensors.
    """
    import torch
    from safetensors import SafetensorError

    use_one_thread(params.model)
    hide_noise()
    try:
        model, loading = kind.from_pretrained(
            params.model, revision=params.revision, dtype=getattr(torch, dtype), use_safetensors=True,
            key_mapping=rename, output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError, SafetensorError) as fault:
        raise DataError(f"{params.model}: cannot be loaded as {kind.__name__}: {first_line(fault)}") from None
    faults = []
    for what, names in (("lacks", loading["missing_keys"]), ("has beyond them", loading["unexpected_keys"])):
        if names := sorted(names):
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            faults.append(f"{what} {', '.join(names[:3])}{more}")
    if faults:
        raise DataError(f"{params.model}: not the weights of {kind.__name__}: {'; '.join(faults)}")
    return model.to(device()).eval()


def load_processor(kind: Any, params: InProcessScorerParams, files: tuple[str, ...], **more: Any) -> Any:
    """Return the processor or tokenizer of class `kind` that lies beside the weights. Raises DataError.

    One of `files` must be there: some classes make up an empty vocabulary where there is none.
    """
    from transformers.utils import cached_file

    mend = f"{params.model}: no {' or '.join(files)} beside the weights; copy the files of the model's processor there"
    try:
        if not any(
            cached_file(params.model, name, revision=params.revision, _raise_exceptions_for_missing_entries=False)
            for name in files
        ):
            raise DataError(mend)
        return kind.from_pretrained(params.model, revision=params.revision, **more)
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise DataError(f"{params.model}: {kind.__name__}: {first_line(fault)}") from None


def first_line(fault: Exception) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
