"""Our rows -> TRL's columns: the one place where x, p and the instruction meet a model's format.

TRL's `prompt` is the model's input, so it means our x inside its template; our prompt p is its completion. Stored rows
hold no chat token; the chat template is applied once, by TRL.
"""

from collections import Counter
from collections.abc import Iterable

from pipeline.words import Template
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


def fitting(rows: list[dict[str, Turn]], tokenizer, max_length: int) -> tuple[list[dict[str, Turn]], dict[str, int]]:
    """Return the rows that can be trained on whole, and how many could not, by reason.

    too_long: more than `max_length` tokens, which TRL would cut in silence; characters: a chat token of the model in an
    answer, which would end the turn in its middle.
    """
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    kept, lost = [], Counter()
    for row in rows:
        answers = [row[name] for name in row if name != "prompt"]
        if any(token in turn[0]["content"] for turn in answers for token in special):
            lost[Reason.CHARACTERS.value] += 1
        elif max(n_tokens(row["prompt"] + turn, tokenizer) for turn in answers) > max_length:
            lost[Reason.TOO_LONG.value] += 1
        else:
            kept.append(row)
    return kept, dict(sorted(lost.items()))


def n_tokens(turns: Turn, tokenizer) -> int:
    return len(tokenizer.apply_chat_template(turns, return_dict=False))


def counts(n_in: int, n_kept: int, lost: dict[str, int]) -> dict:
    """Return the metrics that every stage writes of its units."""
    return {"units_in": n_in, "units_done": n_kept, "units_dropped": sum(lost.values()), "dropped": lost}
