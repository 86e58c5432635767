"""Before DPO: how well length alone, and single words, tell chosen from rejected (ours).

What tells them apart without reading the query is what the policy may learn in place of the preference.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypedDict

import click
import numpy as np
import numpy.typing as npt

from schemas.base import Pair, content_id

WARN_ABOVE = 0.65
WORDS = 1000
FOLDS = 5
MOST_PAIRS = 4000  # a few seconds; more pairs move the figure in its third digit
RIDGE = 1.0

Floats = npt.NDArray[np.floating]


class Shortcut(TypedDict):
    """How well pairs of one source can be told apart without the query; an AUC of 0.5 is chance."""

    pairs: int
    length_auc: float
    """below 0.5 where the shorter one wins"""
    words_auc: float | None
    """None with fewer than two queries"""


def measure_shortcuts(pairs: Sequence[Pair]) -> dict[str, Shortcut]:
    """Return source -> how well length and words tell its pairs apart."""
    shortcuts: dict[str, Shortcut] = {}
    for source in sorted({pair.source for pair in pairs}):
        of_source = sorted((pair for pair in pairs if pair.source == source), key=lambda pair: pair.pair_id)
        some = of_source[:MOST_PAIRS]
        shortcuts[source] = {
            "pairs": len(some),
            "length_auc": compute_length_auc(some),
            "words_auc": compute_words_auc(some),
        }
    return shortcuts


def print_warning(line: str) -> None:
    """Write a line to stderr."""
    click.echo(line, err=True)


def warn_of_shortcuts(shortcuts: dict[str, Shortcut], warn: Callable[[str], None] = print_warning) -> None:
    """Call `warn` with a line for each shortcut that a policy could learn in place of the preference."""
    for source, shortcut in shortcuts.items():
        length, words = shortcut["length_auc"], shortcut["words_auc"]
        if max(length, 1 - length) > WARN_ABOVE:
            kind = "longer" if length > 0.5 else "shorter"
            warn(
                f"  dpo: WARNING: length alone tells chosen from rejected in the {source} pairs (AUC {length:.2f}): "
                f"the {kind} one wins"
            )
        if words is not None and words > WARN_ABOVE:
            warn(f"  dpo: WARNING: a bag of words tells chosen from rejected in the {source} pairs (AUC {words:.2f})")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def compute_length_auc(pairs: Sequence[Pair]) -> float:
    """Return the AUC of a text's number of words."""
    chosen = np.array([len(split_words(pair.chosen)) for pair in pairs], float)
    rejected = np.array([len(split_words(pair.rejected)) for pair in pairs], float)
    return compute_auc(chosen, rejected)


def compute_words_auc(pairs: Sequence[Pair]) -> float | None:
    """Return the AUC of a logistic regression on which words stand in a text, by folds of queries it was not fitted to.

    None with fewer than two queries.
    """
    queries = {pair.query_id for pair in pairs}
    n_folds = min(FOLDS, len(queries))
    if n_folds < 2:
        return None
    shuffled = sorted(queries, key=lambda query: content_id(query, "fold"))
    fold_of = {query: i % n_folds for i, query in enumerate(shuffled)}
    folds = np.array([fold_of[pair.query_id] for pair in pairs])
    chosen = [set(split_words(pair.chosen)) for pair in pairs]
    rejected = [set(split_words(pair.rejected)) for pair in pairs]
    scores = np.zeros((len(pairs), 2))
    for fold in range(n_folds):
        fitted, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        counts = Counter(word for i in fitted for word in chosen[i] | rejected[i])
        by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        column = {word: n for n, (word, _) in enumerate(by_count[:WORDS])}
        weights = fit_logistic(
            mark_words([chosen[i] for i in fitted], column), mark_words([rejected[i] for i in fitted], column)
        )
        for side, texts in enumerate((chosen, rejected)):
            scores[held_out, side] = mark_words([texts[i] for i in held_out], column) @ weights
    return compute_auc(scores[:, 0], scores[:, 1])


def mark_words(texts: Sequence[set[str]], column: dict[str, int]) -> npt.NDArray[np.float32]:
    """Return (texts, columns): 1 where the word of a column stands in a text."""
    marks = np.zeros((len(texts), len(column)), np.float32)
    for row, words in enumerate(texts):
        marks[row, [column[word] for word in words if word in column]] = 1
    return marks


def fit_logistic(chosen: Floats, rejected: Floats, steps: int = 200) -> Floats:
    """Return the weights (columns) that tell the sides of a pair apart, each side (pairs, columns).

    Ridge, and Nesterov's gradient steps from zero (Nesterov 1983, with the momentum step / (step + 3)).
    """
    x = chosen - rejected
    weights, ahead = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    # a bound of the curvature: the largest row sum of |x'x| / 4
    rate = 1 / (RIDGE + np.abs(x).sum(1).max(initial=0) * np.abs(x).sum(0).max(initial=0) / 4)
    for step in range(steps):
        wrong = 1 / (1 + np.exp(np.clip(x @ ahead, -50, 50)))
        moved = ahead + rate * (x.T @ wrong - RIDGE * ahead)
        ahead = moved + step / (step + 3) * (moved - weights)
        weights = moved
    return weights


def compute_auc(chosen: npt.ArrayLike, rejected: npt.ArrayLike) -> float:
    """Return the chance that a chosen text's score is above a rejected one's, ties counting half; three digits.

    It is the Mann-Whitney U over the number of pairs; scores that differ by less than 1e-9 are ties.
    """
    high, low = np.round(np.asarray(chosen, float), 9), np.sort(np.round(np.asarray(rejected, float), 9))
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return round(float(below.mean() / 2 / len(low)), 3)
