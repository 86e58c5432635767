"""Draws the queries of the splits: safety queries first, asking about few more candidates than needed, then the rest.

VPO 3.2 has an LLM judge the safety queries again; here the source's scores and our terms only nominate candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.curation.arrays import Bools, Int64s
from pipeline.curation.drops import make_drops
from pipeline.curation.filters import FilterResult
from pipeline.curation.normalisation import normalise
from pipeline.curation.query_ids import order_by_chance, spell_ids
from pipeline.curation.safety import recheck
from pipeline.curation.sample import measure_coverage, order_by_strata
from pipeline.curation.split import Splits, Unplaced, read_sizes
from pipeline.llm.template import Template
from schemas.base import Split
from schemas.params import QueriesParams
from schemas.reasons import Reason
from schemas.seams import Outcome, Teacher

if TYPE_CHECKING:
    import polars as pl

LEAST_ASKED = 16
"""Candidates in a round of questions. Ours: waiting for one answer at a time costs more than a few calls."""


class Placement(NamedTuple):
    """A drawn row: its index among those that passed the rules, its split, and whether it is a safety query."""

    row: int
    split: Split
    safety: bool


@dataclass(frozen=True)
class Draw:
    """The drawn rows in the source's order, why the others leave, how many stood between two splits, and metrics."""

    placements: list[Placement]
    drops: pl.DataFrame
    between_splits: int
    report: dict[str, Any]

    @property
    def rows(self) -> Int64s:
        """The indices of the drawn rows among those that passed the rules."""
        return np.array([placement.row for placement in self.placements], np.int64)


def draw_splits(
    frame: pl.DataFrame,
    filtered: FilterResult,
    rows: Int64s,
    teacher: Teacher,
    template: Template,
    params: QueriesParams,
    seed: int,
) -> Draw:
    """Draw the splits from `rows`, indices among those that passed the rules; `frame` has all raw rows."""
    passed, strata = filtered.passed, filtered.strata.take(rows)
    heads = filtered.facts["query_id"].to_numpy()
    ids = spell_ids(heads[rows])
    sizes = read_sizes(params, safety=False), read_sizes(params, safety=True)
    splits = Splits(filtered.tokens, heads, *sizes, seed)
    suspect = nominate(frame["unsafe_score"].gather(passed), filtered.facts["candidate"], params.unsafe_threshold)
    if params.sample == "stratified":
        order = rows[order_by_strata(ids, seed, strata, params.sample_balance or 0.0, params.sample_weights or {})]
    else:
        order = rows[order_by_chance(ids, seed)]
    suspects = order[suspect[order]]
    answers: dict[int, Outcome[bool]] = {}
    fates: dict[int, Split | Unplaced] = {}
    while (lacking := splits.count_missing(safety=True)) and len(answers) < len(suspects):
        candidates = suspects[len(answers) :][: max(lacking, LEAST_ASKED)]
        outcomes = recheck(clean_rows(frame, passed[candidates], params), teacher, template)
        judged = {int(row): outcome for row, (_, outcome) in zip(candidates, outcomes, strict=True)}
        answers |= judged
        unsafe = [row for row, outcome in judged.items() if outcome.value]
        fates |= splits.place(np.array(unsafe, np.int64), safety=True)
        full = Unplaced("the splits are full")
        fates |= {row: full for row in unsafe if row not in fates}
    harmless = np.zeros(len(passed), bool)
    harmless[[row for row, outcome in answers.items() if outcome.value is False]] = True
    fates |= splits.place(order[~suspect[order] | harmless[order]], safety=False)
    placements = [
        Placement(row, fate, bool(row in answers and answers[row].value))
        for row, fate in sorted(fates.items(), key=lambda item: item[0])
        if not isinstance(fate, Unplaced)
    ]
    drawn = np.searchsorted(rows, [placement.row for placement in placements])
    report = {
        "recheck": {
            "candidates": len(suspects),
            "asked": len(answers),
            "unsafe": sum(outcome.value is True for outcome in answers.values()),
            "not_unsafe": int(harmless.sum()),
            "template": template.hash,
        },
        "splits": splits.report_sizes(),
        "short": splits.report_shortages(),
        "sample": {"by": params.sample, "rows": len(rows), "coverage": measure_coverage(strata, drawn)},
    }
    between = sum(isinstance(fate, Unplaced) and fate.row is not None for fate in fates.values())
    return Draw(placements, list_undrawn(passed, rows, fates, answers, suspect), between, report)


def nominate(scores: pl.Series, candidates: pl.Series, threshold: float) -> Bools:
    """Return where the source's scores or our terms call for a second look; neither decides (S1 3.2)."""
    return ((scores.fill_null(0.0) > threshold) | candidates).to_numpy()


def clean_rows(frame: pl.DataFrame, rows: Int64s, params: QueriesParams) -> list[str]:
    """Return the cleaned queries of raw rows."""
    return normalise(frame["text"].gather(rows), params.keep_flags)["query"].to_list()


def list_undrawn(
    passed: Int64s,
    rows: Int64s,
    fates: dict[int, Split | Unplaced],
    answers: dict[int, Outcome[bool]],
    suspect: Bools,
) -> pl.DataFrame:
    """Return why `rows` are in no split: most were simply not drawn, some have a fate or an answer of their own."""
    import polars as pl

    why: dict[int, tuple[str, str, float | None, int | None]] = {}
    for row, fate in fates.items():
        if isinstance(fate, Unplaced):
            why[row] = (Reason.NOT_SAMPLED.value, fate.detail, fate.score, fate.row)
    for row, outcome in answers.items():
        if outcome.value is None:
            why[row] = (str(outcome.reason), f"safety re-check: {outcome.detail}", None, None)
    plain = np.zeros(len(passed), bool)
    plain[rows] = True
    plain[[*fates, *why]] = False
    unjudged = suspect.copy()
    unjudged[list(answers)] = False
    detail = pl.Series(unjudged[plain]).replace_strict(
        [True, False], ["a safety candidate; enough others were judged", "the splits are full"], return_dtype=pl.String
    )
    lines: Sequence[tuple[Any, ...]] = [(int(passed[row]), *fate) for row, fate in sorted(why.items())]
    columns = [list(column) for column in zip(*lines, strict=True)] if lines else [[], [], [], [], []]
    return pl.concat([make_drops(passed[plain], Reason.NOT_SAMPLED.value, detail), make_drops(*columns)])
