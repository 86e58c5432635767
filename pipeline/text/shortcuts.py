"""Before DPO: how well length alone, and single words, tell chosen from rejected (ours).

What tells them apart without reading the query is what the policy may learn in place of the preference.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NotRequired, TypedDict

import click
import numpy as np
import numpy.typing as npt

from schemas.base import Pair, content_id

WARN_ABOVE = 0.65
WORDS = 1000
FOLDS = 5
MOST_PAIRS = 4000  # a few seconds; more pairs move the figure in its third digit
NAMED = 10  # words, and pairs, that are named where they carry a shortcut
RIDGE = 1.0

Floats = npt.NDArray[np.floating]


class Word(TypedDict):
    """In how many pairs a word stands on one side alone."""

    word: str
    chosen: int
    rejected: int


class Shortcut(TypedDict):
    """How well pairs of one source can be told apart without the query; an AUC of 0.5 is chance.

    `words` and `carried_by` (pair_ids) are there where an AUC is beyond WARN_ABOVE. No texts: results enter git.
    """

    pairs: int
    length_auc: float
    """below 0.5 where the shorter one wins"""
    words_auc: float | None
    """None with fewer than two queries"""
    words: NotRequired[list[Word]]
    carried_by: NotRequired[list[str]]


def measure_shortcuts(pairs: Sequence[Pair]) -> dict[str, Shortcut]:
    """Return source -> how well length and words tell its pairs apart."""
    shortcuts: dict[str, Shortcut] = {}
    for source in sorted({pair.source for pair in pairs}):
        of_source = sorted((pair for pair in pairs if pair.source == source), key=lambda pair: pair.pair_id)
        some = of_source[:MOST_PAIRS]
        lengths, scores = count_words(some), score_by_words(some)
        shortcut: Shortcut = {
            "pairs": len(some),
            "length_auc": compute_auc(lengths[:, 0], lengths[:, 1]),
            "words_auc": None if scores is None else compute_auc(scores[:, 0], scores[:, 1]),
        }
        if scores is not None and tells_by_words(shortcut):
            shortcut["words"] = name_words(some)
            shortcut["carried_by"] = name_pairs(some, scores[:, 0] - scores[:, 1])
        elif tells_by_length(shortcut):
            sign = 1 if shortcut["length_auc"] > 0.5 else -1
            shortcut["carried_by"] = name_pairs(some, sign * (lengths[:, 0] - lengths[:, 1]))
        shortcuts[source] = shortcut
    return shortcuts


def tells_by_words(shortcut: Shortcut) -> bool:
    """Return whether single words tell chosen from rejected."""
    return shortcut["words_auc"] is not None and shortcut["words_auc"] > WARN_ABOVE


def tells_by_length(shortcut: Shortcut) -> bool:
    """Return whether length alone tells chosen from rejected."""
    return max(shortcut["length_auc"], 1 - shortcut["length_auc"]) > WARN_ABOVE


def name_pairs(pairs: Sequence[Pair], leanings: Floats) -> list[str]:
    """Return the pair_ids of those that lean most to their winner; `leanings` (pairs)."""
    return [pairs[index].pair_id for index in np.argsort(-np.round(leanings, 9), kind="stable")[:NAMED]]


def name_words(pairs: Sequence[Pair]) -> list[Word]:
    """Return the words that tell most pairs apart, by weight times the pairs that they stand in one side of."""
    chosen, rejected = ([set(split_words(text)) for text in side] for side in list_sides(pairs))
    column = list_columns(chosen, rejected)
    marks = mark_words(chosen, column), mark_words(rejected, column)
    moves = fit_logistic(*marks) * (marks[0] - marks[1]).sum(axis=0)
    words = list(column)
    return [
        {
            "word": words[index],
            "chosen": int(((marks[0] - marks[1])[:, index] > 0).sum()),
            "rejected": int(((marks[0] - marks[1])[:, index] < 0).sum()),
        }
        for index in np.argsort(-np.round(moves, 9), kind="stable")[:NAMED]
    ]


def describe_shortcuts(model: str, shortcuts: Mapping[str, Shortcut]) -> list[str]:
    """Return a sentence for each source of a model's pairs that can be told apart without the query."""
    sentences = []
    for source, shortcut in shortcuts.items():
        ways = []
        if tells_by_words(shortcut):
            words = ", ".join(f"{item['word']} ({item['chosen']}:{item['rejected']})" for item in shortcut["words"])
            ways.append(f"single words do (AUC {shortcut['words_auc']:.3f}), chosen : rejected {words}")
        if tells_by_length(shortcut):
            kind = "longer" if shortcut["length_auc"] > 0.5 else "shorter"
            ways.append(f"length does (AUC {shortcut['length_auc']:.3f}), the {kind} one wins")
        if ways:
            pairs = ", ".join(shortcut["carried_by"])
            sentences.append(f"{model}, {source} pairs: {'; '.join(ways)}. Pairs that carry it: {pairs}.")
    return sentences


def print_warning(line: str) -> None:
    """Write a line to stderr."""
    click.echo(line, err=True)


def warn_of_shortcuts(shortcuts: dict[str, Shortcut], warn: Callable[[str], None] = print_warning) -> None:
    """Call `warn` with a line for each shortcut that a policy could learn in place of the preference."""
    for source, shortcut in shortcuts.items():
        length, words = shortcut["length_auc"], shortcut["words_auc"]
        if tells_by_length(shortcut):
            kind = "longer" if length > 0.5 else "shorter"
            warn(
                f"  dpo: WARNING: length alone tells chosen from rejected in the {source} pairs (AUC {length:.2f}): "
                f"the {kind} one wins"
            )
        if tells_by_words(shortcut):
            warn(f"  dpo: WARNING: a bag of words tells chosen from rejected in the {source} pairs (AUC {words:.2f})")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"\w+", text.lower())


def count_words(pairs: Sequence[Pair]) -> Floats:
    """Return (pairs, 2): the numbers of words of chosen and rejected."""
    return np.array(
        [[len(split_words(text)) for text in sides] for sides in zip(*list_sides(pairs), strict=True)], float
    )


def list_sides(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Return the chosen texts, and the rejected."""
    return [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]


def list_columns(*sides: Sequence[set[str]]) -> dict[str, int]:
    """Return word -> column, of the words that stand in most pairs; `sides` are the words by pair, side by side."""
    counts = Counter(word for words in zip(*sides, strict=True) for word in set().union(*words))
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {word: n for n, (word, _) in enumerate(by_count[:WORDS])}


def score_by_words(pairs: Sequence[Pair]) -> Floats | None:
    """Return (pairs, 2): the score of chosen and rejected by a logistic regression on which words stand in a text.

    It is fitted by folds of queries, each scored by what was fitted to the others. None with fewer than two queries.
    """
    queries = {pair.query_id for pair in pairs}
    n_folds = min(FOLDS, len(queries))
    if n_folds < 2:
        return None
    shuffled = sorted(queries, key=lambda query: content_id(query, "fold"))
    fold_of = {query: i % n_folds for i, query in enumerate(shuffled)}
    folds = np.array([fold_of[pair.query_id] for pair in pairs])
    chosen, rejected = ([set(split_words(text)) for text in side] for side in list_sides(pairs))
    scores = np.zeros((len(pairs), 2))
    for fold in range(n_folds):
        fitted, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        column = list_columns([chosen[i] for i in fitted], [rejected[i] for i in fitted])
        weights = fit_logistic(
            mark_words([chosen[i] for i in fitted], column), mark_words([rejected[i] for i in fitted], column)
        )
        for side, texts in enumerate((chosen, rejected)):
            scores[held_out, side] = mark_words([texts[i] for i in held_out], column) @ weights
    return scores


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
