"""x, p, c -> p_refined: rewrite each flawed prompt by its critique, in the same conversation (VPO 3.2 and Fig. 8).

With `verify` (ours: a refinement can fail too) p_refined must pass the critic, or is refined again by what it says now.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import REFINED, VERDICT
from pipeline.llm.replies import Verdict
from pipeline.llm.rounds import ask_round
from pipeline.llm.template import Template
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import stage_output
from schemas.base import Dropped, content_id
from schemas.critique import Critique
from schemas.params import CritiqueParams, RefineParams
from schemas.reasons import Reason
from schemas.refine import Refine
from schemas.seams import Messages, Outcome, Teacher
from schemas.stage import Ask, Declaration


@dataclass(frozen=True)
class Draft:
    """A flawed prompt on its way; `about` holds the text that the critic saw last and what it said of it."""

    row: Critique
    about: Critique
    rounds: int = 0
    refined: Outcome[str] | None = None
    checked: Outcome[Verdict] | None = None

    @property
    def needs_refining(self) -> bool:
        failed = self.checked is not None and self.checked.reason is None and not self.checked.value.aligned
        return self.refined is None or failed

    @property
    def needs_checking(self) -> bool:
        return self.refined.reason is None and self.checked is None


def refine(
    critiques: Iterable[Critique], teacher: Teacher, params: RefineParams, critique_params: CritiqueParams
) -> Iterator[Refine | Dropped]:
    """Yield p_refined for each flawed prompt; an aligned one leaves with Reason.NO_FLAW.

    With `params.verify` one that fails the critic so many times leaves with Reason.NOT_VERIFIED.
    """
    words, critique_words = Template(params.template), Template(critique_params.template, needs=("query", "prompt"))
    aligned: list[Dropped] = []
    drafts: Iterable[Draft] = (Draft(row, about=row) for row in _flawed(critiques, aligned))
    for sample in range(max(params.verify, 1)):
        drafts = ask_round(
            drafts,
            is_open=lambda draft: draft.needs_refining,
            messages=lambda draft: messages(draft.about, words, critique_words),
            take=refined,
            teacher=teacher,
            parse=parse,
            template=words.hash,
            sample=sample,  # a text that came back unchanged would else get the stored answer again
        )
        if params.verify:
            drafts = ask_round(
                drafts,
                is_open=lambda draft: draft.needs_checking,
                messages=lambda draft: question(draft.row.query, draft.refined.value, critique_words),
                take=checked,
                teacher=teacher,
                parse=VERDICT,
                template=critique_words.hash,
            )
    for draft in drafts:
        yield finished(draft)
    yield from aligned


def _flawed(critiques: Iterable[Critique], aligned: list[Dropped]) -> Iterator[Critique]:
    for row in critiques:
        if row.aligned:
            aligned.append(Dropped(input_id=row.prompt_id, reason=Reason.NO_FLAW))
        else:
            yield row


def messages(row: Critique, words: Template, critique_words: Template) -> Messages:
    """Continue the conversation in which c was given: the critic's question, c, and the wish to refine."""
    return [
        *question(row.query, row.prompt, critique_words),
        {"role": "assistant", "content": row.critique},
        {"role": "user", "content": words.fill(query=row.query, prompt=row.prompt)},
    ]


def question(query: str, prompt: str, critique_words: Template) -> Messages:
    """Return what the critic is asked about a prompt, word for word as in stage critique."""
    return [{"role": "user", "content": critique_words.fill(query=query, prompt=prompt)}]


parse = REFINED


def refined(draft: Draft, outcome: Outcome[str]) -> Draft:
    return replace(draft, refined=outcome, checked=None, rounds=draft.rounds + 1)


def checked(draft: Draft, outcome: Outcome[Verdict]) -> Draft:
    """Return the draft with the critic's word on its p_refined; a No makes that the text to refine next."""
    if outcome.reason is not None or outcome.value.aligned:
        return replace(draft, checked=outcome)
    seen = {"prompt": draft.refined.value, "critique": outcome.value.reasoning}
    return replace(draft, checked=outcome, about=draft.row.model_copy(update=seen))


def finished(draft: Draft) -> Refine | Dropped:
    row, text, verdict = draft.row, draft.refined, draft.checked
    if text.reason is not None:
        return Dropped(input_id=row.prompt_id, reason=text.reason, detail=text.detail)
    if verdict is not None and verdict.reason is not None:
        return Dropped(input_id=row.prompt_id, reason=verdict.reason, detail=f"critique of p_refined: {verdict.detail}")
    if verdict is not None and not verdict.value.aligned:
        still = f"still not {', '.join(verdict.value.violated)}; refinements: {draft.rounds}"
        return Dropped(input_id=row.prompt_id, reason=Reason.NOT_VERIFIED, detail=still)
    return Refine(
        **dict(row),
        p_refined=text.value,
        p_refined_id=content_id(row.query_id, text.value),
        refined_by=text.by,
        rounds=draft.rounds,
        verified=True if verdict else None,
        verified_by=verdict.by if verdict else None,
    )


STAGE = Declaration(reads=(Critique,), row=Refine, unit="critique", asks=(Ask("teacher", "teacher"),))


@click.command("refine")
@click.argument("critiques")
@click.argument("out")
@option
def main(critiques, out, params_path):
    """x, p, c -> p_refined: rewrite each flawed prompt by its critique."""
    params = load_params(params_path)
    with stage_output(out, Refine) as writer:
        teacher = make_teacher(params.teacher, params.world)
        rows = refine(writer.read(critiques, Critique), teacher, params.refine, params.critique)
        writer.write(rows, {"refined_again": lambda row: row.rounds > 1}, teacher.status)
