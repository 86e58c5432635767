"""Renderer `diffusers`: open text-to-video models, and Stable Diffusion for pictures, in this process (facts.py).

A clip depends on (weights, settings, prompt, seed): each has a CPU generator of its own, so that equal seeds begin with
equal noise on every device. With batch_size 1 on one kind of device the frames are equal whatever is rendered before;
in larger batches sums end on other bits (measured: single pixels by one level), and what the store has stays.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np

from pipeline.backends.batches import BatchSize, run_batches
from pipeline.backends.renderer.diffusers_load import counter, load
from pipeline.backends.renderer.diffusers_settings import read_configs, resolve
from pipeline.backends.weights import name_of, revision_of
from pipeline.runtime.io import DataError
from pipeline.video.clips import make_clip
from schemas.base import Provenance, content_id
from schemas.params_render import DiffusersRenderParams
from schemas.reasons import Reason
from schemas.seams import Clip, Outcome, RenderRequest


class Closed(Exception):
    """Nobody waits for the clips any more."""


class Diffusers:
    """Renders on the GPU, or on the CPU where there is none, while the clips of the batch before are encoded."""

    def __init__(self, params: DiffusersRenderParams):
        revision = revision_of(params.model, params.revision)
        self.model, self.commit, self.needs = params.model, params.revision, params.needs
        self.at_once = params.batch_size or 1  # ours: one video fills a GPU, and its bits depend on no neighbour
        self.configs = read_configs(params.model, params.revision)
        self.resolved = resolve(params, self.configs)
        self.settings = self.resolved.settings
        self.token_limit = self.settings["max_sequence_length"]
        self.by = Provenance(backend="diffusers", model=name_of(params.model), revision=revision)

    def count_tokens(self, prompt: str) -> int:
        return self.counter(prompt)

    @cached_property
    def counter(self) -> Callable[[str], int]:
        return counter(self.model, self.commit, self.configs.index)

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline of diffusers, loaded."""
        return load(self.model, self.commit, self.configs.index, self.resolved)

    def map(self, requests: Iterable[RenderRequest]) -> Iterator[Outcome[Clip]]:
        """Yield one Outcome for each request, in order.

        `requests` is read and clips are encoded here; the pipeline runs in a thread, one batch ahead, so that a clip
        can be kept as soon as it is whole. Closing stops it at its next denoising step.
        """
        source, closed = iter(requests), threading.Event()
        size = BatchSize(self.at_once, self.by.model, self.by.revision, content_id(self.settings))

        def begin() -> tuple[list[RenderRequest], Future] | None:
            batch = list(islice(source, size.now))
            if not batch:
                return None
            run = partial(self.pictures, self.pipeline, closed)
            return batch, thread.submit(lambda: [picture for some in run_batches(batch, size, run) for picture in some])

        with ThreadPoolExecutor(1, thread_name_prefix="render") as thread:
            try:
                under_way = begin()
                while under_way:
                    batch, future = under_way
                    pictures = deque(future.result())
                    under_way = begin()
                    for request in batch:
                        yield self.outcome(request, *pictures.popleft())
            finally:
                closed.set()

    def pictures(
        self, pipeline: Any, closed: threading.Event, batch: list[RenderRequest]
    ) -> list[tuple[np.ndarray, bool]]:
        """Return of each request its frames, float (n, height, width, 3) in 0 to 1, and whether they were blackened."""
        import torch

        def step(pipeline: Any, number: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            if closed.is_set():
                raise Closed
            return tensors

        made = pipeline(
            prompt=[request.prompt for request in batch],
            negative_prompt=[self.settings["negative_prompt"]] * len(batch),
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in batch],
            output_type="np",
            callback_on_step_end=step,
            **self.arguments,
        )
        if self.resolved.facts.frames_step:
            return [(frames, False) for frames in made.frames]
        bad = made.nsfw_content_detected or [False] * len(batch)
        return [(picture[None], bool(black)) for picture, black in zip(made.images, bad, strict=True)]

    @property
    def arguments(self) -> dict:
        """What the pipeline's call takes of the settings."""
        settings, facts = self.settings, self.resolved.facts
        arguments = {name: settings[name] for name in ("height", "width", "num_inference_steps", "guidance_scale")}
        if facts.frames_step:
            arguments |= {"num_frames": settings["n_frames"], "max_sequence_length": settings["max_sequence_length"]}
        for name in ("guidance_scale_2", "use_dynamic_cfg"):
            if settings[name] is not None:
                arguments[name] = settings[name]
        if facts.pipeline == "LTXPipeline":
            arguments["frame_rate"] = settings["frames_per_second"]
        return arguments

    def outcome(self, request: RenderRequest, frames: np.ndarray, blackened: bool) -> Outcome[Clip]:
        """Return the clip, or why there is none. Raises DataError for another size than was asked for."""
        wanted = tuple(self.settings[name] for name in ("n_frames", "height", "width"))
        if frames.shape[:3] != wanted:
            n, height, width = frames.shape[:3]
            raise DataError(
                f"{self.by.model} made {n} frames of {height} x {width} pixels where {wanted[0]} of {wanted[1]} x "
                f"{wanted[2]} were asked for; at sizes that its VAE's tiles do not cover evenly, set render.vae_tiling "
                "to false"
            )

        def fail(detail: str) -> Outcome:
            return Outcome(by=self.by, reason=Reason.RENDER_FAILED, detail=detail)

        if blackened:
            return fail("blackened by the safety checker")
        if not np.isfinite(frames).all():
            return fail(f"frames that are no numbers; {self.settings['dtype']} may be too small for this model")
        pixels = np.stack([np.rint(frame * 255).astype(np.uint8) for frame in frames])
        if not pixels.any():
            return fail("every pixel is black")
        n_tokens = self.count_tokens(request.prompt)
        clip = make_clip(pixels, self.settings["frames_per_second"], n_tokens, truncated=n_tokens > self.token_limit)
        return Outcome(value=clip, by=self.by)
