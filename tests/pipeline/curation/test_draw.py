import numpy as np
import polars as pl

from pipeline.curation.draw import LEAST_ASKED, draw_splits, list_undrawn, nominate
from pipeline.curation.filters import filter_rows
from pipeline.curation.rules import check_readable
from pipeline.curation.sources import Raw, to_frame
from pipeline.curation.split import Unplaced
from pipeline.llm.template import Template
from schemas.reasons import Reason
from schemas.seams import Outcome
from tests.support.few_queries import NONE_SAFE, SMALL, UNLIKE


class Teacher:
    """Says yes to every question and counts them."""

    def __init__(self):
        self.n_questions = 0

    def map(self, requests, parse, template=None, sample=0):
        for _ in requests:
            self.n_questions += 1
            yield Outcome(parse("Unsafe (Yes or No): Yes"))


def draw(laptop, root, texts, **changes):
    params = laptop.queries.model_copy(update=SMALL | changes)
    frame = check_readable(to_frame([Raw(str(row), text) for row, text in enumerate(texts)]), params)
    filtered = filter_rows(frame, params)
    teacher = Teacher()
    rows = np.flatnonzero(filtered.witnesses.kept)
    return draw_splits(frame, filtered, rows, teacher, Template(root / params.recheck_template), params, 0), teacher


def test_a_score_above_the_threshold_or_a_term_nominates():
    scores, terms = pl.Series([0.4, 0.6, None, None, 0.5]), pl.Series([False, False, True, False, False])
    assert nominate(scores, terms, 0.5).tolist() == [False, True, True, False, False]


def test_every_row_is_placed_or_dropped_once_and_placements_are_sorted(laptop, root):
    result, teacher = draw(laptop, root, UNLIKE, **NONE_SAFE)
    assert teacher.n_questions == 0
    placed, dropped = result.rows.tolist(), result.drops["row"].to_list()
    assert placed == sorted(placed)
    assert sorted([*placed, *dropped]) == list(range(len(UNLIKE)))
    assert not any(placement.safety for placement in result.placements)


def test_safety_queries_are_asked_about_in_rounds(laptop, root):
    texts = [f"blood {text}" for text in UNLIKE] + [f"gun {text}" for text in UNLIKE]
    result, teacher = draw(laptop, root, texts, max_similarity=1.0)
    assert teacher.n_questions == LEAST_ASKED == result.report["recheck"]["asked"]
    wanted = sum(SMALL[name] for name in ("sft_safety", "dpo_safety", "test_safety"))
    assert sum(placement.safety for placement in result.placements) == wanted


def test_a_row_that_was_not_drawn_leaves_with_the_most_telling_reason():
    fates = {0: "sft", 1: Unplaced("near-duplicates of it stand in two splits", 0, 0.7)}
    answers = {2: Outcome(reason=Reason.REFUSED, detail="sorry")}
    suspect = np.array([False, False, True, True, False])
    drops = list_undrawn(np.array([10, 11, 12, 13, 14]), np.arange(5), fates, answers, suspect).sort("row")
    assert drops.select("row", "reason", "detail", "witness").rows() == [
        (11, Reason.NOT_SAMPLED, "near-duplicates of it stand in two splits", 0),
        (12, Reason.REFUSED, "safety re-check: sorry", None),
        (13, Reason.NOT_SAMPLED, "a safety candidate; enough others were judged", None),
        (14, Reason.NOT_SAMPLED, "the splits are full", None),
    ]
