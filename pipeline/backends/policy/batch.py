"""Texts that are written side by side, a token a step; one that ends leaves its row to the next.

On the CPU in float32 what is written in a row does not depend on the other rows, not in the last bit: the keys lie as
in `slots`, and no matrix product has fewer than LEAST_ROWS rows, below which MKL sums in another order (measured on
layers of 32 to 4096: the same bits from 16 rows to 4096). In half precision and on a GPU the kernels choose by size.
"""

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from pipeline.backends.policy.slots import BLOCK, Slots, whole

LEAST_ROWS = 16
LIKELY = 256  # a nucleus is nearly always inside so many tokens, and finding them costs a tenth of sorting all


@dataclass
class Text:
    """A text to write: its name, the tokens it follows, its own uniform numbers (none where it is greedy)."""

    key: str
    prompt: list[int]
    noise: np.ndarray | None = None
    written: list[int] = field(default_factory=list)
    ended: bool = False


class Batch:
    """At most `size` texts at once, each up to `max_new_tokens` or to one of the tokens in `stop`."""

    def __init__(self, model: Any, stop: set[int], size: int, temperature: float, top_p: float, max_new_tokens: int):
        import torch

        self.model, self.size, self.max_new_tokens = model, size, max_new_tokens
        self.temperature, self.top_p = temperature, top_p
        self.stop, self.device, self.dtype = stop, model.device, model.dtype
        rows = max(size, LEAST_ROWS)
        self.slots = Slots(rows)
        self.every = torch.arange(rows, device=self.device)
        self.texts: list[Text | None] = [None] * rows
        self.tokens, self.places = np.zeros(rows, np.int64), np.zeros(rows, np.int64)

    @property
    def free(self) -> int:
        return self.size - sum(text is not None for text in self.texts)

    def admit(self, texts: list[Text]) -> None:
        """Read what the texts follow, all but the last token, which the first step reads."""
        rows = [row for row, text in enumerate(self.texts) if text is None]
        for row, text in zip(rows, texts, strict=False):
            self.texts[row], self.tokens[row], self.places[row] = text, text.prompt[-1], len(text.prompt) - 1
        pairs = zip(texts, rows, strict=False)
        for length, some in groupby(sorted(pairs, key=by_length), lambda place: by_length(place)[0]):
            if length:
                self.read(list(some), length)

    def read(self, placed: list[tuple[Text, int]], length: int) -> None:
        """Fill the rows of texts of about one length; the samples of a query are read once."""
        import torch

        inputs = {tuple(text.prompt[:-1]): None for text, _ in placed}
        numbers = {prompt: number for number, prompt in enumerate(inputs)}
        ids = torch.tensor([[*prompt, *[0] * (length - len(prompt))] for prompt in inputs], device=self.device)
        self.slots.widen(length)
        self.slots.read(
            torch.tensor([row for _, row in placed], device=self.device),
            torch.tensor([numbers[tuple(text.prompt[:-1])] for text, _ in placed], device=self.device),
        )
        places = torch.arange(length, device=self.device)
        with torch.inference_mode():
            self.forward(
                ids, places.expand(len(ids), -1), (places[None] <= places[:, None]).expand(len(ids), 1, -1, -1)
            )

    def step(self) -> list[Text]:
        """Write one token of every text; return those that are done."""
        import torch

        writing = [(row, text) for row, text in enumerate(self.texts) if text is not None]
        active = [row for row, _ in writing]
        if not active:
            return []
        shown = whole(int(self.places[active].max()) + 1, BLOCK)
        self.slots.widen(shown)
        with torch.inference_mode():
            places = torch.from_numpy(self.places).to(self.device)
            self.slots.go_on(self.every, places, shown)
            visible = torch.arange(shown, device=self.device) <= places[:, None]
            tokens = torch.from_numpy(self.tokens).to(self.device)
            logits = self.forward(tokens[:, None], places[:, None], visible[:, None, None])[:, -1]
            if len(active) < len(self.texts):
                logits = logits[torch.tensor(active, device=self.device)]
            u = None
            if self.temperature:
                u = np.array([text.noise[len(text.written)] for _, text in writing if text.noise is not None])
                u = torch.from_numpy(u).to(self.device)
            chosen = draw(logits.float(), u, self.temperature, self.top_p).tolist()
        done = []
        for (row, text), token in zip(writing, chosen, strict=True):
            text.written.append(token)
            text.ended = token in self.stop
            self.tokens[row], self.places[row] = token, self.places[row] + 1
            if text.ended or len(text.written) >= self.max_new_tokens:
                done.append(text)
                self.texts[row], self.tokens[row], self.places[row] = None, 0, 0
        return done

    def narrow(self, more: int) -> None:
        """Give up the rows that nobody will need, when only `more` texts are still to come."""
        active = [row for row, text in enumerate(self.texts) if text is not None]
        rows = max(len(active) + more, LEAST_ROWS)
        if rows > len(self.texts) // 2:
            return
        idle = [row for row, text in enumerate(self.texts) if text is None]
        kept = [*active, *idle][:rows]
        self.slots.keep(self.every[kept])
        self.every = self.every[:rows]
        self.texts = [self.texts[row] for row in kept]
        self.tokens, self.places = self.tokens[kept], self.places[kept]

    def forward(self, ids: Any, places: Any, shown: Any) -> Any:
        """Return the logits of the last token, (rows, 1, vocabulary); `shown` masks what attention sees."""
        import torch

        hidden = torch.finfo(self.dtype).min
        mask = torch.zeros(shown.shape, dtype=self.dtype, device=self.device).masked_fill_(~shown, hidden)
        return self.model(
            input_ids=ids, position_ids=places, attention_mask=mask, past_key_values=self.slots, use_cache=True,
            logits_to_keep=1,
        ).logits  # fmt: skip


def by_length(placed: tuple[Text, int]) -> tuple[int, int]:
    text, row = placed
    return whole(len(text.prompt) - 1, LEAST_ROWS), row


def draw(logits: Any, u: Any, temperature: float, top_p: float) -> Any:
    """Return one token id a row: the most likely at temperature 0, else by inverse CDF inside the top_p nucleus.

    logits: (batch, vocabulary), u: (batch,) in [0, 1).
    """
    import torch

    if temperature == 0:
        return logits.max(-1).indices  # argmax takes three times as long on a CPU
    chances = torch.softmax(logits / temperature, -1)
    likely, ids = chances.topk(min(LIKELY, chances.shape[-1]))
    chosen = pick(likely, ids, u, top_p)
    wide = likely.sum(-1) < top_p  # each row by itself, or its neighbours would decide how it is drawn
    if wide.any():
        likely, ids = chances[wide].sort(dim=-1, descending=True, stable=True)
        chosen[wide] = pick(likely, ids, u[wide], top_p)
    return chosen


def pick(likely: Any, ids: Any, u: Any, top_p: float) -> Any:
    """Return of each row the token that u falls on; `likely` are chances in falling order, `ids` their tokens."""
    import torch

    likely = likely.double()
    before = likely.cumsum(-1) - likely
    reached = torch.where(before < top_p, likely, 0.0).cumsum(-1)
    place = (reached <= (u * reached[:, -1])[:, None]).sum(-1).clamp(max=ids.shape[1] - 1)
    return ids.gather(1, place[:, None])[:, 0]
