"""x, p -> c: judge each prompt by the three principles, harmless, accurate and helpful (VPO 3.2 and Fig. 8).

With several votes (ours: where 94 % of the prompts are fine, a judge with 5 % false alarms makes half of D_text noise)
a No is asked again, so that a lone slip makes no pair.
"""

from collections.abc import Iterable, Iterator

import click

from pipeline.backends.teacher import make_teacher
from pipeline.llm.answer_forms import VERDICT
from pipeline.llm.replies import Verdict
from pipeline.llm.rounds import ask_round
from pipeline.llm.template import Template
from pipeline.runtime.params_file import load_params, option
from pipeline.runtime.stage_output import Tally, stage_output
from pipeline.runtime.stand_ins import say_if_unreadable
from schemas.base import Dropped, Prompt
from schemas.critique import Critique, Vote
from schemas.fewshot import Fewshot
from schemas.params import CritiqueParams
from schemas.rollout import Rollout, prompt_class
from schemas.seams import Messages, Outcome, Teacher
from schemas.stage import Ask, Declaration

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
        first = outcomes[0]
        if first.reason is not None:
            yield Dropped(
                input_id=row.prompt_id, reason=first.reason, detail=first.detail, suite=row.suite, arm=row.arm
            )
        else:
            yield decide(row, outcomes, votes)


def messages(row: Prompt, words: Template) -> Messages:
    return [{"role": "user", "content": words.fill(query=row.query, prompt=row.prompt)}]


parse = VERDICT


def is_open(outcomes: Outcomes, votes: int) -> bool:
    """Return whether another vote is asked for: there is none yet, or a first No that may be outvoted."""
    if not outcomes:
        return True
    first = verdict_of(outcomes[0])
    if first is None or first.aligned:
        return False
    no, yes = count_votes(outcomes)
    left = votes - len(outcomes)
    return is_flawed(no + left, yes, votes) != is_flawed(no, yes + left, votes)


def verdict_of(outcome: Outcome[Verdict]) -> Verdict | None:
    """Return the verdict of a vote, None where it gave none."""
    return outcome.value if outcome.reason is None else None


def count_votes(outcomes: Outcomes) -> tuple[int, int]:
    """Return how many votes are No and how many Yes; an answer without a verdict is neither."""
    votes = [verdict.aligned for outcome in outcomes if (verdict := verdict_of(outcome))]
    return votes.count(False), votes.count(True)


def is_flawed(no: int, yes: int, votes: int) -> bool:
    """Return whether most votes given are No; a tie, or one No where a second was asked for, is no sure flaw."""
    return no > yes and no >= min(votes, 2)


def decide(row: Prompt, outcomes: Outcomes, votes: int) -> Critique:
    """Return the row with the first critique that agrees with the verdict, or the first one where none does.

    `outcomes` begin with a verdict. The first that agrees is taken, so that the question to `refine` is the one that a
    single vote would lead to: an answer bought for it serves again.
    """
    aligned = not is_flawed(*count_votes(outcomes), votes)
    given = [(verdict, outcome.by) for outcome in outcomes if (verdict := verdict_of(outcome)) and outcome.by]
    verdict, critic = next(((verdict, by) for verdict, by in given if verdict.aligned == aligned), given[0])
    return Critique(
        **{name: getattr(row, name) for name in Prompt.model_fields},
        aligned=aligned,
        violated=() if aligned else verdict.violated,
        critique=verdict.reasoning,
        critique_by=critic,
        votes=tuple(make_vote(outcome) for outcome in outcomes) if len(outcomes) > 1 else (),
    )


def make_vote(outcome: Outcome[Verdict]) -> Vote:
    verdict = verdict_of(outcome)
    return Vote(
        aligned=verdict.aligned if verdict else None,
        violated=verdict.violated if verdict else (),
        reason=outcome.reason,
        store_key=outcome.by.store_key if outcome.by else None,
    )


TALLY: Tally[Critique] = {
    "asked_again": lambda row: len(row.votes) > 1,
    "overturned": lambda row: len(row.votes) > 1 and row.aligned,
    "votes_missing": lambda row: sum(vote.aligned is None for vote in row.votes),
}
"""what the votes did, for the stage's metrics"""


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
def main(prompts: str, out: str, judge: bool, params_path: str) -> None:
    """x, p -> c: judge each prompt by the three principles."""
    params = load_params(params_path)
    with stage_output(out, Critique) as writer:
        critic = params.judge if judge else params.teacher
        say_if_unreadable(params, critic)
        teacher = make_teacher(critic, params.world)
        votes = 1 if judge else params.critique.votes
        rows = writer.read(prompts, prompt_class(prompts))
        writer.write(critique(rows, teacher, params.critique, votes), TALLY, teacher.status, params.base)
