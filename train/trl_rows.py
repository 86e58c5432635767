"""Our rows -> TRL's columns: the one place where x, p and the instruction meet a model's format.

TRL's `prompt` is the model's input, so it means our x inside its template; our prompt p is its completion. Stored rows
hold no chat token; the chat template is applied once, by TRL.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError
from schemas.base import Pair
from schemas.d_sft import DSft
from schemas.reasons import Reason

Turn = list[dict[str, str]]


def instruction(query: str, template: Template) -> Turn:
    """Return the user's turn: the optimizer's instruction with x filled in."""
    return [{"role": "user", "content": template.fill(query=query)}]


def answer(prompt: str) -> Turn:
    return [{"role": "assistant", "content": prompt}]


def sft_rows(rows: Iterable[DSft], template: Template) -> list[dict[str, Turn]]:
    """Return TRL's conversational prompt-completion rows: the loss falls on the completion alone."""
    return [{"prompt": instruction(row.query, template), "completion": answer(row.prompt)} for row in rows]


def dpo_rows(rows: Iterable[Pair], template: Template) -> list[dict[str, Turn]]:
    """Return TRL's conversational preference rows."""
    return [
        {
            "prompt": instruction(row.query, template),
            "chosen": answer(row.chosen),
            "rejected": answer(row.rejected),
        }
        for row in rows
    ]


class Fitting(NamedTuple):
    """The rows to train on, their positions among all, and how many were lost or will be cut."""

    rows: list[dict[str, Turn]]
    at: list[int]
    lost: dict[str, int]
    truncated: int

    def counts(self) -> dict:
        """Return the metrics that every stage writes of its units."""
        lost = sum(self.lost.values())
        told = {"units_in": len(self.rows) + lost, "units_done": len(self.rows), "units_dropped": lost}
        return told | {"dropped": self.lost, "truncated": self.truncated}


def fitting(rows: list[dict[str, Turn]], tokenizer, max_length: int, long_rows: str = "drop") -> Fitting:
    """Return the rows that can be trained on. Raises DataError for a long one where `long_rows` is refuse.

    too_long: more than `max_length` tokens, which TRL would cut in silence (with `truncate`: no token of the answer is
    left); characters: a chat token of the model in an answer, which would end the turn in its middle.
    """
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    at, lost, truncated = [], Counter(), 0
    for number, row in enumerate(rows):
        answers = [row[name] for name in row if name != "prompt"]
        if any(token in turn[0]["content"] for turn in answers for token in special):
            lost[Reason.CHARACTERS.value] += 1
        elif max(n_tokens(row["prompt"] + turn, tokenizer) for turn in answers) <= max_length:
            at.append(number)
        elif long_rows == "truncate" and n_tokens(row["prompt"], tokenizer, add_generation_prompt=True) < max_length:
            truncated += 1
            at.append(number)
        else:
            lost[Reason.TOO_LONG.value] += 1
    if long_rows == "refuse" and (n := lost[Reason.TOO_LONG.value]):
        raise DataError(
            f"{n} of {len(rows)} rows are longer than max_length {max_length}: set it higher, or long_rows to drop or "
            "truncate"
        )
    return Fitting([rows[number] for number in at], at, dict(sorted(lost.items())), truncated)


def n_tokens(turns: Turn, tokenizer, **kind) -> int:
    return len(tokenizer.apply_chat_template(turns, return_dict=False, **kind))
