"""Our rows -> TRL's columns: the one place where x, p and the instruction meet a model's format.

TRL's `prompt` is the model's input, so it means our x inside its template; our prompt p is its completion. Stored rows
hold no chat token; the chat template is applied once, by TRL.
"""

from collections.abc import Iterable

from pipeline.words import Template
from schemas.base import Pair
from schemas.d_sft import DSft

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


def n_tokens(row: dict[str, Turn], tokenizer) -> int:
    """Return the tokens of a TRL row: its prompt with the longest of its answers."""
    return max(
        len(tokenizer.apply_chat_template(row["prompt"] + row[name], return_dict=False))
        for name in row
        if name != "prompt"
    )


def that_fit(rows: list[dict[str, Turn]], tokenizer, max_length: int) -> tuple[list[dict[str, Turn]], int]:
    """Return the rows of at most `max_length` tokens and how many were longer: nothing is cut in silence."""
    kept = [row for row in rows if n_tokens(row, tokenizer) <= max_length]
    return kept, len(rows) - len(kept)
