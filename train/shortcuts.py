"""Before DPO: how well length alone, and single words, tell chosen from rejected (ours).

What tells them apart without reading the query is what the policy may learn in place of the preference.
"""

import re
from collections import Counter
from collections.abc import Sequence

import click
import numpy as np

from schemas.base import Pair, content_id

WARN_ABOVE = 0.65
WORDS = 1000
FOLDS = 5
MOST_PAIRS = 4000  # a few seconds; more pairs move the figure in its third digit
RIDGE = 1.0


def shortcuts(pairs: Sequence[Pair]) -> dict[str, dict]:
    """Return source -> {pairs, length_auc, words_auc}; 0.5 is chance, and a length AUC below it means shorter wins."""
    found = {}
    for source in sorted({pair.source for pair in pairs}):
        mine = sorted((pair for pair in pairs if pair.source == source), key=lambda pair: pair.pair_id)[:MOST_PAIRS]
        found[source] = {"pairs": len(mine), "length_auc": length_auc(mine), "words_auc": words_auc(mine)}
    return found


def warn(found: dict[str, dict], say=click.echo) -> None:
    """Say in a line what a policy could learn in place of the preference."""
    for source, told in found.items():
        length, words = told["length_auc"], told["words_auc"]
        if max(length, 1 - length) > WARN_ABOVE:
            kind = "longer" if length > 0.5 else "shorter"
            say(
                f"  dpo: WARNING: length alone tells chosen from rejected in the {source} pairs (AUC {length:.2f}): "
                f"the {kind} one wins",
                err=True,
            )
        if words is not None and words > WARN_ABOVE:
            say(
                f"  dpo: WARNING: a bag of words tells chosen from rejected in the {source} pairs (AUC {words:.2f})",
                err=True,
            )


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def length_auc(pairs: Sequence[Pair]) -> float:
    lengths = [[len(words_of(text)) for text in (pair.chosen, pair.rejected)] for pair in pairs]
    return auc(*zip(*lengths, strict=True))


def words_auc(pairs: Sequence[Pair]) -> float | None:
    """Return the AUC of a logistic regression on which words stand in a text, by folds of queries it has not seen.

    None with fewer than two queries.
    """
    queries = {pair.query_id for pair in pairs}
    folds = min(FOLDS, len(queries))
    if folds < 2:
        return None
    order = {query: at % folds for at, query in enumerate(sorted(queries, key=lambda query: content_id(query, "fold")))}
    mine = np.array([order[pair.query_id] for pair in pairs])
    chosen, rejected = ([set(words_of(text)) for text in texts] for texts in zip(*texts_of(pairs), strict=True))
    scores = np.zeros((len(pairs), 2))
    for fold in range(folds):
        learnt, held = np.flatnonzero(mine != fold), np.flatnonzero(mine == fold)
        seen = Counter(word for at in learnt for word in chosen[at] | rejected[at])
        column = {word: n for n, (word, _) in enumerate(sorted(seen.items(), key=lambda item: (-item[1], item[0])))}
        column = {word: n for word, n in column.items() if n < WORDS}
        weights = logistic(bag([chosen[at] for at in learnt], column), bag([rejected[at] for at in learnt], column))
        for side, texts in enumerate((chosen, rejected)):
            scores[held, side] = bag([texts[at] for at in held], column) @ weights
    return auc(scores[:, 0], scores[:, 1])


def texts_of(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(pair.chosen, pair.rejected) for pair in pairs]


def bag(texts: Sequence[set[str]], column: dict[str, int]) -> np.ndarray:
    found = np.zeros((len(texts), len(column)), np.float32)
    for row, words in enumerate(texts):
        found[row, [column[word] for word in words if word in column]] = 1
    return found


def logistic(chosen: np.ndarray, rejected: np.ndarray, steps: int = 200) -> np.ndarray:
    """Return the weights that tell the sides of a pair apart: ridge, and Nesterov's gradient steps from zero."""
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


def auc(chosen: Sequence[float], rejected: Sequence[float]) -> float:
    """Return the chance that a chosen text's score is above a rejected one's, ties counting half; three digits."""
    chosen, rejected = np.round(np.asarray(chosen, float), 9), np.sort(np.round(np.asarray(rejected, float), 9))
    below = np.searchsorted(rejected, chosen, "left") + np.searchsorted(rejected, chosen, "right")
    return round(float(below.mean() / 2 / len(rejected)), 3)
