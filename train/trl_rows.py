"""Our rows -> TRL's columns: the one place where x, p and the instruction meet a model's format.

TRL's `prompt` is the model's input, so it means our x inside its template; our prompt p is its completion. Stored rows
hold no chat token; the chat template is applied once, by TRL.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.llm.template import Template
from pipeline.runtime.io import DataError
from pipeline.text.preference import fold
from schemas.base import Pair
from schemas.d_sft import DSft
from schemas.reasons import Reason

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Turns = list[dict[str, str]]
"""Messages of a chat: role and content."""
Row = dict[str, Turns]
"""A row in TRL's columns."""


def to_user_turn(query: str, template: Template) -> Turns:
    """Return the user's turn: the optimizer's instruction with x filled in."""
    return [{"role": "user", "content": template.fill(query=query)}]


def to_answer_turn(prompt: str) -> Turns:
    """Return the assistant's turn: our prompt p, and nothing around it."""
    return [{"role": "assistant", "content": prompt}]


def to_sft_rows(rows: Iterable[DSft], template: Template) -> list[Row]:
    """Return TRL's conversational prompt-completion rows (prompt, completion): the loss falls on the completion alone.

    TRL: docs/source/dataset_formats.md.
    """
    return [{"prompt": to_user_turn(row.query, template), "completion": to_answer_turn(row.prompt)} for row in rows]


def to_dpo_rows(rows: Iterable[Pair], template: Template) -> list[Row]:
    """Return TRL's conversational preference rows (prompt, chosen, rejected). TRL: docs/source/dataset_formats.md."""
    return [
        {
            "prompt": to_user_turn(row.query, template),
            "chosen": to_answer_turn(row.chosen),
            "rejected": to_answer_turn(row.rejected),
        }
        for row in rows
    ]


class FittingRows(NamedTuple):
    """The rows to train on, their positions among all, how many were dropped for which reason, how many will be cut."""

    rows: list[Row]
    positions: list[int]
    dropped: dict[str, int]
    truncated: int

    def count_units(self) -> dict[str, Any]:
        """Return the metrics that every stage writes of its units."""
        n_dropped = sum(self.dropped.values())
        units = {"units_in": len(self.rows) + n_dropped, "units_done": len(self.rows), "units_dropped": n_dropped}
        return units | {"dropped": self.dropped, "truncated": self.truncated}


def select_fitting(
    rows: list[Row], tokenizer: "PreTrainedTokenizerBase", max_length: int, long_rows: str = "drop"
) -> FittingRows:
    """Return the rows that can be trained on; `max_length` is in tokens, chat format included.

    Raises DataError for a long row where `long_rows` is refuse.

    too_long: more than `max_length` tokens, which TRL would cut in silence (with `truncate`: no token of the answer is
    left); characters: a chat token of the model in an answer, which would end the turn in its middle; no_preference:
    the answers are one text, or one where long ones are cut, and their loss would be a constant.
    """
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    positions: list[int] = []
    dropped: Counter[str] = Counter()
    truncated = 0
    for position, row in enumerate(rows):
        answers = [row[name] for name in row if name != "prompt"]
        if any(token in turn[0]["content"] for turn in answers for token in special):
            dropped[Reason.CHARACTERS.value] += 1
            continue
        tokens = [tokenizer.apply_chat_template(row["prompt"] + turn, return_dict=False) for turn in answers]
        if are_one(answers, [ids[:max_length] for ids in tokens] if long_rows == "truncate" else tokens):
            dropped[Reason.NO_PREFERENCE.value] += 1
        elif max(map(len, tokens)) <= max_length:
            positions.append(position)
        elif (
            long_rows == "truncate" and count_tokens(row["prompt"], tokenizer, add_generation_prompt=True) < max_length
        ):
            truncated += 1
            positions.append(position)
        else:
            dropped[Reason.TOO_LONG.value] += 1
    if long_rows == "refuse" and (n := dropped[Reason.TOO_LONG.value]):
        raise DataError(
            f"{n} of {len(rows)} rows are longer than max_length {max_length}: set it higher, or long_rows to drop or "
            "truncate"
        )
    return FittingRows([rows[position] for position in positions], positions, dict(sorted(dropped.items())), truncated)


def are_one(answers: list[Turns], cut: list[list[int]]) -> bool:
    """Tell whether two answers are one text but for white space and the composition of characters, or one when cut.

    `cut` holds the tokens that are left of each, prompt included.
    """
    texts = {fold(turn[0]["content"]) for turn in answers}
    return len(answers) > 1 and (len(texts) == 1 or all(ids == cut[0] for ids in cut))


def count_tokens(turns: Turns, tokenizer: "PreTrainedTokenizerBase", add_generation_prompt: bool = False) -> int:
    """Return how many tokens the turns are in the model's chat format."""
    ids = tokenizer.apply_chat_template(turns, return_dict=False, add_generation_prompt=add_generation_prompt)
    return len(ids)
