"""x, p, c -> p_refined: rewrite each flawed prompt by its critique, in the same conversation (VPO 3.2 and Fig. 8).

With `verify` (ours: a refinement can fail too) p_refined must pass the critic, or is refined again by what it says now.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import tee

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import REFINED, VERDICT
from pipeline.llm.replies import Verdict
from pipeline.llm.rounds import ask_round
from pipeline.llm.template import Template
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from schemas.base import Dropped, content_id
from schemas.critique import Critique
from schemas.params import CritiqueParams, RefineParams
from schemas.reasons import Reason
from schemas.refine import Refine
from schemas.seams import Messages, Outcome, Teacher
from schemas.stage import Ask, Declaration


@dataclass(frozen=True)
class Draft:
    """A flawed prompt on its way; `latest` holds the text that the critic read last and its critique of that."""

    row: Critique
    latest: Critique
    rounds: int = 0
    refinement: Outcome[str] | None = None
    check: Outcome[Verdict] | None = None

    @property
    def p_refined(self) -> str | None:
        return self.refinement.value if self.refinement else None

    @property
    def needs_refining(self) -> bool:
        verdict = self.check.value if self.check else None
        return self.refinement is None or (verdict is not None and not verdict.aligned)

    @property
    def needs_checking(self) -> bool:
        return self.p_refined is not None and self.check is None


def refine(
    critiques: Iterable[Critique], teacher: Teacher, params: RefineParams, critique_params: CritiqueParams
) -> Iterator[Refine | Dropped]:
    """Yield p_refined for each flawed prompt; an aligned one leaves with Reason.NO_FLAW.

    With `params.verify` one that fails the critic so many times leaves with Reason.NOT_VERIFIED.
    """
    words, critique_words = Template(params.template), Template(critique_params.template, needs=("query", "prompt"))
    rows, flawed = tee(critiques)
    drafts: Iterable[Draft] = (Draft(row, latest=row) for row in flawed if not row.aligned)
    for sample in range(max(params.verify, 1)):
        drafts = ask_round(
            drafts,
            is_open=lambda draft: draft.needs_refining,
            messages=lambda draft: messages(draft.latest, words, critique_words),
            take=take_refinement,
            teacher=teacher,
            parse=parse,
            template=words.hash,
            sample=sample,  # a text that came back unchanged would else get the stored answer again
        )
        if params.verify:
            drafts = ask_round(
                drafts,
                is_open=lambda draft: draft.needs_checking,
                messages=lambda draft: question(draft.row.query, draft.p_refined or "", critique_words),
                take=take_check,
                teacher=teacher,
                parse=VERDICT,
                template=critique_words.hash,
            )
    for draft in drafts:
        yield finish(draft)
    yield from (Dropped(input_id=row.prompt_id, reason=Reason.NO_FLAW, arm=row.arm) for row in rows if row.aligned)


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


def take_refinement(draft: Draft, outcome: Outcome[str]) -> Draft:
    return replace(draft, refinement=outcome, check=None, rounds=draft.rounds + 1)


def take_check(draft: Draft, outcome: Outcome[Verdict]) -> Draft:
    """Return the draft with the critic's verdict on its p_refined; a No makes that the text to refine next."""
    if outcome.value is None or outcome.value.aligned:
        return replace(draft, check=outcome)
    latest = draft.row.model_copy(update={"prompt": draft.p_refined, "critique": outcome.value.reasoning})
    return replace(draft, check=outcome, latest=latest)


def finish(draft: Draft) -> Refine | Dropped:
    """Return the row of a draft that no round changes any more, or why there is none."""
    row, text, check = draft.row, draft.refinement, draft.check
    if text is None or text.value is None or text.by is None:
        return drop(row, text.reason if text else None, text.detail if text else "")
    if check is not None and check.reason is not None:
        return drop(row, check.reason, f"critique of p_refined: {check.detail}")
    verdict = check.value if check else None
    if verdict is not None and not verdict.aligned:
        still = f"still not {', '.join(verdict.violated)}; refinements: {draft.rounds}"
        return drop(row, Reason.NOT_VERIFIED, still)
    return Refine(
        **dict(row),
        p_refined=text.value,
        p_refined_id=content_id(row.query_id, text.value),
        refined_by=text.by,
        rounds=draft.rounds,
        verified=True if check else None,
        verified_by=check.by if check else None,
    )


STAGE = Declaration(reads=(Critique,), row=Refine, unit="critique", asks=(Ask("teacher", "teacher"),))


def drop(row: Critique, reason: Reason | None, detail: str) -> Dropped:
    return Dropped(input_id=row.prompt_id, reason=reason or Reason.FAILED, detail=detail, arm=row.arm)


TALLY: Tally[Refine] = {"refined_again": lambda row: row.rounds > 1}


@click.command("refine")
@click.argument("critiques")
@click.argument("out")
@option
def main(critiques: str, out: str, params_path: str) -> None:
    """x, p, c -> p_refined: rewrite each flawed prompt by its critique."""
    params = load_params(params_path)
    say_if_unreadable(params, params.teacher)
    with stage_output(out, Refine) as writer:
        teacher = make_teacher(params.teacher, params.world)
        rows = refine(writer.read(critiques, Critique), teacher, params.refine, params.critique)
        writer.write(rows, TALLY, teacher.status, params.base)
