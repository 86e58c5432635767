"""P(yes) of an image-text-to-text model for many questions about the same pictures; what they share is read once.

The prompts of all questions begin alike: the chat's opening and the pictures. That beginning goes through the model
once; its keys and values are shared by the ends of the prompts, which are read in batches (ours: 64 calls a clip would
each read about 1,500 visual tokens for some 30 of text).
"""

import inspect
from collections.abc import Sequence
from copy import copy, deepcopy
from itertools import takewhile
from typing import Any

import click
import numpy as np

from pipeline.backends.batches import BatchSize, out_of_memory, run_batches
from pipeline.backends.reward.in_process import device, first_line, need_libraries
from pipeline.backends.reward.processor import load_chat_processor, markers, one_token_words, plain, visual_tokens
from pipeline.backends.weights import refuse_lacking
from pipeline.runtime.io import DataError
from pipeline.runtime.progress import hide_noise

YES_NO = ("yes", "no")
CHECKED = 4
ROOM = 200
"""Tokens of a question and the chat around it."""
CLOSE = {"float32": 1e-3}
HALF_CLOSE = 0.1
"""Largest difference of P(yes) by the order of adding alone; half precision keeps 8 to 11 bits of a logit."""


class CannotShare(Exception):
    """The prompts do not begin alike, or their ends hold visual tokens."""


class CannotAsk(Exception):
    """This clip cannot be asked about: too long a text, or pictures of 2 x 2,000 pixels that no processor cuts."""


class YesNo:
    """A model and its processor, loaded; `shared` tells whether the beginning is read once a clip."""

    def __init__(self, model: str, revision: str | None, dtype: str | None, batch_size: int):
        need_libraries("checklist")
        from safetensors import SafetensorError
        from transformers import AutoModelForImageTextToText

        self.name = model
        hide_noise()
        try:
            self.processor = load_chat_processor(model, revision)
            loaded, loading = AutoModelForImageTextToText.from_pretrained(
                model, revision=revision, dtype=dtype or "auto", use_safetensors=True, trust_remote_code=False,
                output_loading_info=True,
            )  # fmt: skip
        except (OSError, ValueError, RuntimeError, SafetensorError) as fault:
            raise DataError(f"{model}: cannot be loaded to be asked: {first_line(fault)}") from None
        refuse_lacking(loading["missing_keys"], model)
        self.model = loaded.to(device()).eval()
        self.tokenizer = self.processor.tokenizer
        self.markers = markers(self.processor)
        self.visual = visual_tokens(self.processor, self.model.config)
        self.words = {name: one_token_words(self.tokenizer, name) for name in YES_NO}
        if empty := [name for name, tokens in self.words.items() if not tokens]:
            raise DataError(f"{model}: its tokenizer writes {empty[0]} in several tokens, so P(yes) cannot be read")
        self.size = BatchSize(batch_size, "checklist", model, str(revision), str(self.model.dtype))
        self.shared = True

    def p_yes(self, pictures: np.ndarray, texts: Sequence[str]) -> list[float]:
        """Return P(yes) / (P(yes) + P(no)) of the first word for each text; pictures uint8 RGB (n, height, width, 3).

        Raises CannotAsk, and DataError where one clip does not fit into memory.
        """
        import torch

        with torch.inference_mode():
            if self.shared:
                try:
                    return self.together(pictures, texts)
                except CannotShare as fault:
                    click.echo(f"  checklist: one clip is asked one call a question: {fault}", err=True)
            return self.one_by_one(pictures, texts)

    def check(self, texts: Sequence[str]) -> None:
        """Compare the shared way with one call a question on a made clip; where they differ the calls are used."""
        import torch

        texts, clip = texts[:CHECKED], made_clip()
        try:
            with torch.inference_mode():
                shared = self.together(clip, texts)
        except DataError:
            raise
        except Exception as fault:  # whatever a model's own code makes of keys and values that it did not expect
            if out_of_memory(fault):
                raise
            self.alone_from_now_on(f"{type(fault).__name__}: {fault}".splitlines()[0])
            return
        with torch.inference_mode():
            alone = self.one_by_one(clip, texts)
        apart = float(np.abs(np.subtract(shared, alone)).max())
        if not apart <= CLOSE.get(str(self.model.dtype).removeprefix("torch."), HALF_CLOSE):
            self.alone_from_now_on(f"P(yes) differs by {apart:.2g} on a made clip")

    def alone_from_now_on(self, why: str) -> None:
        self.shared = False
        click.echo(f"  checklist: {self.name} is asked one call a question, which is slow: {why}", err=True)

    def prompt(self, n_pictures: int, text: str) -> str:
        """Return the chat up to the model's answer; what looks like a marker of the chat in `text` is broken up."""
        opening = "Frames of a video, one a second." if n_pictures > 1 else "A picture."
        content = [{"type": "image"}] * n_pictures
        content.append({"type": "text", "text": f"{opening} {plain(text, self.markers)} Answer with yes or no."})
        chat = [{"role": "user", "content": content}]
        return self.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)

    def begins(self, prompt: str) -> bool:
        """Tell whether the tokenizer has to write the first token, which some chat templates write themselves."""
        return not (self.tokenizer.bos_token and prompt.startswith(self.tokenizer.bos_token))

    def inputs(self, pictures: np.ndarray, prompt: str) -> Any:
        from PIL import Image

        images = [[Image.fromarray(picture) for picture in pictures]]
        try:
            made = self.processor(
                text=[prompt], images=images, return_tensors="pt", add_special_tokens=self.begins(prompt)
            )
        except ValueError as fault:
            raise CannotAsk(f"{type(fault).__name__}: {fault}".splitlines()[0]) from None
        self.refuse_too_long(made["input_ids"][0].tolist(), len(pictures))
        return made.to(self.model.device, self.model.dtype)

    def refuse_too_long(self, tokens: list[int], n_pictures: int, more: int = 0) -> None:
        """Raise DataError for more pictures than the model was made to read, CannotAsk where the text is too much."""
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if longest and len(tokens) + more > longest:
            fault = f"{n_pictures} pictures and the text are {len(tokens) + more} tokens, {self.name} reads {longest}"
            if sum(token in self.visual for token in tokens) + ROOM > longest:
                raise DataError(f"{fault}; lower n_frames")
            raise CannotAsk(fault)

    def one_by_one(self, pictures: np.ndarray, texts: Sequence[str]) -> list[float]:
        chances = []
        for text in texts:
            inputs = self.inputs(pictures, self.prompt(len(pictures), text))
            chances += self.read(self.run(inputs, [-1])[:, -1])
        return chances

    def together(self, pictures: np.ndarray, texts: Sequence[str]) -> list[float]:
        first, n, ends = self.split(pictures, [self.prompt(len(pictures), text) for text in texts])
        try:
            cache = self.model(**first_tokens(first, n), use_cache=True, **self.keep([-1])).past_key_values
        except Exception as fault:
            if not out_of_memory(fault):
                raise
            raise DataError(
                f"{self.name}: {len(pictures)} pictures, {n} tokens, do not fit into memory; lower n_frames, or set "
                "dtype to bfloat16"
            ) from None
        chances = [0.0] * len(texts)
        by_length = sorted(range(len(ends)), key=lambda index: len(ends[index]))
        for done in run_batches(by_length, self.size, lambda some: self.read_ends(cache, ends, some)):
            for index, value in done:
                chances[index] = value
        return chances

    def split(self, pictures: np.ndarray, prompts: list[str]) -> tuple[dict, int, list[list[int]]]:
        """Return the model's inputs for the first prompt, how many of their tokens all prompts share, and the ends.

        Pictures are prepared once: the prompts are compared before their pictures become many tokens.
        """
        tokens = [self.tokenizer(item, add_special_tokens=self.begins(item))["input_ids"] for item in prompts]
        same = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*tokens, strict=False)))
        same = min(same, min(map(len, tokens)) - 1)  # the last token of each must be read for its own answer
        ends = [row[same:] for row in tokens]
        first = self.inputs(pictures, prompts[0])
        whole = first["input_ids"][0].tolist()
        if any(self.visual & {*end} for end in ends):
            raise CannotShare("pictures stand after the first word in which the questions differ")
        if whole[-len(ends[0]) :] != ends[0]:
            raise CannotShare("the processor writes the ends of prompts otherwise than the tokenizer does")
        n = len(whole) - len(ends[0])
        self.refuse_too_long(whole, len(pictures), max(map(len, ends)) - len(ends[0]))
        return first, n, ends

    def read_ends(self, cache: Any, ends: list[list[int]], some: list[int]) -> list[tuple[int, float]]:
        """Read the ends of some prompts after the shared beginning; return (place, P(yes)).

        Padding stands behind, where no real token sees it, and without a mask the model counts positions on from the
        cache, as it does when it writes: so also the rotary positions of Qwen2-VL, whose pictures take few of them.
        """
        import torch

        rows = [ends[index] for index in some]
        width, pad = max(map(len, rows)), self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=self.model.device)
        places = sorted({len(row) - 1 for row in rows})
        logits = self.run({"input_ids": ids, "past_key_values": expand(cache, len(rows)), "use_cache": True}, places)
        column = {place: number for number, place in enumerate(places)}
        last = torch.stack([logits[number, column[len(row) - 1]] for number, row in enumerate(rows)])
        return list(zip(some, self.read(last), strict=True))

    def run(self, inputs: Any, places: list[int]) -> Any:
        """Return the logits at `places`, (rows, places, vocabulary)."""
        keep = self.keep(places)
        logits = self.model(**inputs, **keep).logits
        return logits if keep else logits[:, places]

    def keep(self, places: list[int]) -> dict:
        """Return what makes the model leave out the logits of other places: of 30 tokens all but one are waste."""
        import torch

        if "logits_to_keep" not in inspect.signature(self.model.forward).parameters:
            return {}
        return {"logits_to_keep": 1 if places == [-1] else torch.tensor(places, device=self.model.device)}

    def read(self, logits: Any) -> list[float]:
        """Return P(yes) / (P(yes) + P(no)), summed over the tokens that are such a word; logits (rows, vocabulary)."""
        yes, no = (logits[:, self.words[name]].double().logsumexp(-1) for name in YES_NO)
        return (yes - no).sigmoid().tolist()


def first_tokens(inputs: Any, n: int) -> dict[str, Any]:
    """Return the inputs cut after n tokens; pixels stay whole."""
    shape = inputs["input_ids"].shape
    return {name: value[:, :n] if value.shape[:2] == shape else value for name, value in inputs.items()}


def expand(cache: Any, n: int) -> Any:
    """Return the cache for n rows that begin alike. Where layers only append, the rows are views of one beginning."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    if any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
        whole = deepcopy(cache)
        whole.batch_repeat_interleave(n)
        return whole
    rows = copy(cache)
    rows.layers = [copy(layer) for layer in cache.layers]
    for layer in rows.layers:
        if layer.is_initialized:
            layer.keys, layer.values = (part.expand(n, -1, -1, -1) for part in (layer.keys, layer.values))
    return rows


def made_clip() -> np.ndarray:
    """Return three pictures in which things move; noise and edges, so that positions matter."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 96, 128, 3), dtype=np.uint8)
    for number, picture in enumerate(pictures):
        picture[20:60, 20 + 20 * number : 60 + 20 * number] = (250, 40, 40)
    return pictures
