"""The queries of a ready set against the test split: found by folded text and near-likeness.

Ours: an id alone finds too few. A query that differs from a test query by a quote, a full stop or a capital has another
id and teaches the same answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import regex

from pipeline.curation.benchmark_overlap import find_overlap
from pipeline.curation.disguises import replace_lookalikes
from pipeline.curation.split import NEAR
from pipeline.curation.tokens import tokenize
from pipeline.llm.policy_answers import read_policy_outcome
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, read_rows
from pipeline.text.clean import tokens
from pipeline.text.ready_forms import Frame
from pipeline.text.ready_sets import ReadySet
from schemas.base import Dropped, Provenance, content_id
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from schemas.params import OnLeakage
from schemas.queries import Query
from schemas.reasons import Reason
from schemas.seams import Outcome

R = TypeVar("R", DSft, DDpo)
SMALL_WORDS = frozenset(("a", "an", "the", "is", "are", "was", "were"))
"""say nothing of the scene"""
ENDING = regex.compile(r"(?<=[a-z]{3})(?:ing|ed|(?<![su])s)$")
DOUBLED = regex.compile(r"([bdgmnprt])\1$")
STAND_INS = "\u25a1\u25af\u2b1a\u2b26"
"""Signs that cleaning leaves alone, one of which stands for U+FFFD meanwhile."""
MARK = "\ue000"
"""Stands for the query where a template is filled in to see what is around it: a sign that no language uses."""


def read_frame(template: Template) -> Frame:
    """Return the words that a template puts before and after the query."""
    before, _, after = template.fill(query=MARK).partition(MARK)
    return Frame(before, after)


def read_ready_answer(text: str, provenance: Provenance) -> Outcome[str]:
    """Return an answer of a ready set cleaned as a policy's is, or why it is none.

    U+FFFD alone makes none garbled here: half a character is replaced by it as the file is read, as `queries` does.
    """
    if "\ufffd" not in text:
        return read_policy_outcome(text, provenance)
    stand_in = next(sign for sign in STAND_INS if sign not in text)
    outcome = read_policy_outcome(text.replace("\ufffd", stand_in), provenance)
    return replace(outcome, value=outcome.value.replace(stand_in, "\ufffd")) if outcome.value else outcome


def find_leaked(queries: Sequence[str], test: Sequence[str]) -> dict[str, str]:
    """Return query -> the test query that it equals or resembles, from sim = NEAR on; words alone are compared.

    A query without words (signs alone) is compared as it stands.
    """
    import polars as pl

    exact = {fold_words(text): text for text in test}
    leaked = {query: exact[fold_words(query)] for query in queries if fold_words(query) in exact}
    worded = [query for query in dict.fromkeys(queries) if query not in leaked and tokens(query)]
    if worded and test:
        numbered = tokenize(pl.Series("words", [fold_words(query) for query in worded], pl.String))
        folded = [fold_words(text) for text in test]
        rows, prompts, _ = find_overlap(numbered, np.arange(len(worded)), folded, NEAR)
        leaked |= {worded[row]: test[prompt] for row, prompt in zip(rows, prompts, strict=True)}
    return leaked


def fold_words(text: str) -> str:
    """Return the stems of a query's words without case, accents and small words; its signs where it has no words.

    Letters that look like Latin ones count as those, so that a word in disguise is found.
    """
    folded = tokens(replace_lookalikes(text)) or tokens(text)
    return " ".join(stem(word) for word in folded if word not in SMALL_WORDS) or text.casefold()


def stem(word: str) -> str:
    """Return an English word without the ending of a verb's or noun's form: running, runs -> run."""
    bare = ENDING.sub("", word)
    return bare[:-1] if bare != word and DOUBLED.search(bare) else bare.removesuffix("e") if len(bare) > 3 else bare


def part_from_test(ready: ReadySet[R], test: str | None, on_leakage: OnLeakage, path: str) -> ReadySet[R]:
    """Return a ready set without the rows that resemble a query of the file `test`, or with them where that is wanted.

    Raises DataError for such rows where `on_leakage` is refuse.
    """
    if test is None:
        return ready
    typed = [row.query for row in read_rows(test, Query)]
    leaked = find_leaked([row.query for row in ready.rows], typed)
    if not leaked:
        return ready
    first, resembled = next(iter(leaked.items()))
    example = f"first {first[:80]!r}, like the test query {resembled[:80]!r}"
    if on_leakage == "refuse":
        raise DataError(
            f"{path}: {len(leaked)} queries are in the test split or resemble one of it, {example}; the evaluation "
            "would be worthless: take them out, or set on_leakage to drop (or keep)"
        )
    notes = [
        *ready.notes,
        f"{path}: {len(leaked)} queries resemble test queries, {example}: on_leakage is {on_leakage}",
    ]
    if on_leakage == "keep":
        return replace(ready, notes=notes)
    gone: list[Dropped] = [
        Dropped(
            input_id=content_id(row.model_dump(mode="json")), reason=Reason.LEAKED, detail=f"test: {leaked[row.query]}"
        )
        for row in ready.rows
        if row.query in leaked
    ]
    kept = [row for row in ready.rows if row.query not in leaked]
    return ReadySet(kept, [*ready.dropped, *gone], notes)
