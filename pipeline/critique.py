"""x, p -> c: judge each prompt by the three principles, harmless, accurate and helpful (VPO 3.2 and Fig. 8).

With several votes (ours: where 94 % of the prompts are fine, a judge with 5 % false alarms makes half of D_text noise)
a No is asked again, so that a lone slip makes no pair.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import VERDICT
from pipeline.llm.replies import Verdict
from pipeline.llm.rounds import ask_round
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from schemas.base import Dropped, Prompt
from schemas.critique import Critique, Vote
from schemas.fewshot import Fewshot
from schemas.params import CritiqueParams
from schemas.rollout import Rollout
from schemas.seams import Messages, Outcome, Teacher
from schemas.stage import Ask, Declaration

PROMPTS: dict[str, type[Prompt]] = {"fewshot": Fewshot, "rollout": Rollout}
"""the stages that write prompts, and their rows"""
Outcomes = tuple[Outcome[Verdict], ...]


def critique(
    prompts: Iterable[Prompt], teacher: Teacher, params: CritiqueParams, votes: int = 1
) -> Iterator[Critique | Dropped]:
    """Yield the verdict on each prompt, or why there is none.

    Only a first No is asked again, with sample 1, 2, ..., until the rest of `votes` can no longer change the verdict.
    That is for making data: the eval lane has one vote, since a second look at the flawed alone would bias a measure.
    """
    words = Template(params.template, needs=("query", "prompt"))
    judged: Iterable[tuple[Prompt, Outcomes]] = ((row, ()) for row in prompts)
    for sample in range(votes):
        judged = ask_round(
            judged,
            is_open=lambda item: is_open(item[1], votes),
            messages=lambda item: messages(item[0], words),
            take=lambda item, outcome: (item[0], (*item[1], outcome)),
            teacher=teacher,
            parse=parse,
            template=words.hash,
            sample=sample,
        )
    for row, outcomes in judged:
        if outcomes[0].reason is not None:
            yield Dropped(input_id=row.prompt_id, reason=outcomes[0].reason, detail=outcomes[0].detail)
        else:
            yield decided(row, outcomes, votes)


def messages(row: Prompt, words: Template) -> Messages:
    return [{"role": "user", "content": words.fill(query=row.query, prompt=row.prompt)}]


parse = VERDICT


def is_open(outcomes: Outcomes, votes: int) -> bool:
    """Return whether another vote is asked for: nothing was said yet, or a first No that may be outvoted."""
    if not outcomes:
        return True
    if outcomes[0].reason is not None or outcomes[0].value.aligned:
        return False
    no, yes = count_verdicts(outcomes)
    left = votes - len(outcomes)
    return is_flawed(no + left, yes, votes) != is_flawed(no, yes + left, votes)


def count_verdicts(outcomes: Outcomes) -> tuple[int, int]:
    """Return how many said No and how many Yes; an answer without a verdict is neither."""
    verdicts = [outcome.value.aligned for outcome in outcomes if outcome.reason is None]
    return verdicts.count(False), verdicts.count(True)


def is_flawed(no: int, yes: int, votes: int) -> bool:
    """Return whether most votes given are No; a tie, or one No where a second was asked for, is no sure flaw."""
    return no > yes and no >= min(votes, 2)


def decided(row: Prompt, outcomes: Outcomes, votes: int) -> Critique:
    """Return the row with the first critique that agrees with the verdict, or the first one where none does.

    The first, so that the question to `refine` is the one that a single vote would lead to: an answer bought for it
    serves again.
    """
    aligned = not is_flawed(*count_verdicts(outcomes), votes)
    agreeing = (outcome for outcome in outcomes if outcome.reason is None and outcome.value.aligned == aligned)
    told = next(agreeing, outcomes[0])
    return Critique(
        **{name: getattr(row, name) for name in Prompt.model_fields},
        aligned=aligned,
        violated=() if aligned else told.value.violated,
        critique=told.value.reasoning,
        critique_by=told.by,
        votes=tuple(vote(outcome) for outcome in outcomes) if len(outcomes) > 1 else (),
    )


def vote(outcome: Outcome[Verdict]) -> Vote:
    said = outcome.value if outcome.reason is None else None
    return Vote(
        aligned=said.aligned if said else None,
        violated=said.violated if said else (),
        reason=outcome.reason,
        store_key=outcome.by.store_key if outcome.by else None,
    )


TALLY: Tally[Critique] = {
    "asked_again": lambda row: len(row.votes) > 1,
    "overturned": lambda row: len(row.votes) > 1 and row.aligned,
    "votes_missing": lambda row: sum(vote.aligned is None for vote in row.votes),
}
"""what the votes did, for the stage's metrics"""


def prompt_class(path: str) -> type[Prompt]:
    """Return the class of the prompts in a file, which is named by the stage that wrote it. Raises DataError."""
    stage = Path(path).stem
    if stage not in PROMPTS:
        raise DataError(f"{path}: prompts come from {' or '.join(PROMPTS)}, whose files are named so")
    return PROMPTS[stage]


STAGE = Declaration(
    reads=(Rollout, Fewshot),
    row=Critique,
    unit="prompt",
    asks=(
        Ask("teacher", "teacher", when=lambda params, options: "--judge" not in options),
        Ask("teacher", "judge", when=lambda params, options: "--judge" in options),
    ),
)


@click.command("critique")
@click.argument("prompts")
@click.argument("out")
@click.option("--judge", is_flag=True, help="Ask the judge instead of the teacher, once, as the eval lane does.")
@option
def main(prompts, out, judge, params_path):
    """x, p -> c: judge each prompt by the three principles."""
    params = load_params(params_path)
    with stage_output(out, Critique) as writer:
        teacher = make_teacher(params.judge if judge else params.teacher, params.world)
        votes = 1 if judge else params.critique.votes
        rows = writer.read(prompts, prompt_class(prompts))
        writer.write(critique(rows, teacher, params.critique, votes), TALLY, teacher.status)
