"""How far a policy's prompts, and the offline reward, hang on a few stock sentences and words.

The offline world's teacher ends its prompts with sentences of one small table (pipeline/world/phrases.py). What a
trained arm has learnt may be little more than which of them to write, so the pages say how much of it is that.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.project import read_arms, read_values
from pipeline.world.phrases import PHRASES, is_from_table, split_sentences

FOLDS = 5
RIDGES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def count_stock_sentences(prompts: Iterable[str]) -> tuple[int, int]:
    """Return how many sentences of `prompts` stand in the table as they are, and how many there are."""
    sentences = [sentence for prompt in prompts for sentence in split_sentences(prompt)]
    return sum(map(is_from_table, sentences)), len(sentences)


def table_size() -> int:
    """Return how many sentences the table has."""
    return sum(map(len, PHRASES.values()))


def count_words(texts: Iterable[str]) -> np.ndarray:
    """Return (texts, words): how often each word stands in each text; words of a single text are left out."""
    bags = [Counter(re.findall(r"[\w'-]+", text.lower())) for text in texts]
    texts_with = Counter(word for bag in bags for word in bag)
    words = {word: place for place, word in enumerate(sorted(word for word, n in texts_with.items() if n > 1))}
    counts = np.zeros((len(bags), len(words)))
    for row, bag in enumerate(bags):
        for word, n in bag.items():
            if word in words:
                counts[row, words[word]] = n
    return counts


def explained_share(
    texts: Sequence[str], values: Sequence[float], groups: Sequence[str], within: bool = False
) -> float:
    """Return R2 of a linear fit of `values` on the words of `texts`, over texts that the fit has not seen.

    Ridge regression in five folds; all texts of a group (a query) lie in one fold, and the strength of the ridge is
    chosen in the same way within the other four. `within`: words and values are taken as differences from the means of
    their group, so that only what tells the texts of a group apart counts. Negative where the words say less than the
    mean does. Raises ValueError for fewer groups than folds.
    """
    if len(set(groups)) < FOLDS:
        raise ValueError(f"{len(set(groups))} queries are too few for {FOLDS} folds")
    words, wanted, folds = count_words(texts), np.array(values, float), split_groups(groups)
    if within:
        words, wanted = centre(words, groups), centre(wanted[:, None], groups)[:, 0]
    predicted = np.empty_like(wanted)
    for fold in range(FOLDS):
        rest = folds != fold
        ridge = choose_ridge(words[rest], wanted[rest], folds[rest])
        predicted[~rest] = fit(words[rest], wanted[rest], [ridge], words[~rest])[0]
    return 1 - float(((wanted - predicted) ** 2).sum() / ((wanted - wanted.mean()) ** 2).sum())


def centre(rows: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return (rows, columns) without the mean of each row's group."""
    _, place = np.unique(list(groups), return_inverse=True)
    means = np.zeros((place.max() + 1, rows.shape[1]))
    np.add.at(means, place, rows)
    return rows - (means / np.bincount(place)[:, None])[place]


def split_groups(groups: Sequence[str]) -> np.ndarray:
    """Return the fold of each row; the groups are dealt out in turns, in the order of their names."""
    order = {group: place % FOLDS for place, group in enumerate(sorted(set(groups)))}
    return np.array([order[group] for group in groups])


def choose_ridge(words: np.ndarray, values: np.ndarray, folds: np.ndarray) -> float:
    """Return the strength with the least squared error over rows that the fit has not seen."""
    errors = dict.fromkeys(RIDGES, 0.0)
    for fold in sorted(set(folds)):
        rest = folds != fold
        for ridge, predicted in zip(RIDGES, fit(words[rest], values[rest], RIDGES, words[~rest]), strict=True):
            errors[ridge] += float(((values[~rest] - predicted) ** 2).sum())
    return min(RIDGES, key=errors.__getitem__)


def fit(words: np.ndarray, values: np.ndarray, ridges: Sequence[float], others: np.ndarray) -> list[np.ndarray]:
    """Return what a ridge regression on (rows, words) predicts for (others, words), of each strength."""
    centre, mean = words.mean(0), values.mean()
    inner, rest = words - centre, values - mean
    by_word = len(inner) > inner.shape[1]  # the same weights either way: the smaller system is solved
    products = inner.T @ inner if by_word else inner @ inner.T
    wanted = inner.T @ rest if by_word else rest
    solved = [np.linalg.solve(products + ridge * np.eye(len(products)), wanted) for ridge in ridges]
    return [mean + (others - centre) @ (one if by_word else inner.T @ one) for one in solved]


class Scored(NamedTuple):
    """Prompts with their rewards; `groups` has each one's query.

    Runs may share a query, and what a fit has seen of it in one run is not unseen in another.
    """

    texts: list[str]
    rewards: list[float]
    groups: list[str]

    def add(self, text: str, reward: float, group: str) -> None:
        self.texts.append(text)
        self.rewards.append(reward)
        self.groups.append(group)


def score_arms(paths: Sequence[Path]) -> Scored:
    """Return the prompts that all arms of finished runs were served on the general test queries."""
    scored = Scored([], [], [])
    for path in paths:
        _, arms, _ = read_arms(path)
        values, _ = read_values(path)
        for name, left in arms.items():
            rewards = values[name].get("reward", {})
            # a reward is the mean over a query's prompts, of which an arm of several samples has more
            prompts = {row.query_id: row.prompt for row in left.prompts if row.sample == 0}
            for query_id in sorted(rewards.keys() & prompts.keys()):
                scored.add(prompts[query_id], rewards[query_id], query_id)
    return scored


def score_rollouts(paths: Sequence[Path]) -> Scored:
    """Return the rollouts of which finished runs made their video pairs."""
    from pipeline.runtime.io import read_rows
    from pipeline.runtime.params_file import load_params
    from pipeline.scoring.formulas import compute_scores
    from schemas.render import Render
    from schemas.reward import Reward
    from schemas.rollout import Rollout

    scored = Scored([], [], [])
    for path in paths:
        prompts = {row.prompt_id: row.prompt for row in read_rows(path / "data/dpo/rollout.jsonl", Rollout)}
        # no pair is made of the clips that are rendered once more
        first = {row.video_id for row in read_rows(path / "data/dpo/render.parquet", Render) if row.replicate == 0}
        rows = [row for row in read_rows(path / "data/dpo/reward.parquet", Reward) if row.video_id in first]
        scores = compute_scores(rows, load_params(path / "params.yaml").reward)
        for row in {row.video_id: row for row in rows}.values():
            if row.video_id in scores:
                scored.add(prompts[row.prompt_id], float(scores[row.video_id]), row.query_id)
    return scored


def describe_words(paths: Sequence[Path], arm: str = "dpo") -> list[str]:
    """Return sentences on finished runs: an arm's stock sentences, and how linear the reward is in the words."""
    written = [row.prompt for path in paths for row in read_arms(path)[1][arm].prompts if row.served == "prompt"]
    stock, sentences = count_stock_sentences(written)
    served, rollouts = score_arms(paths), score_rollouts(paths)
    return [
        f"Of the {sentences} sentences that {arm} wrote, {stock / sentences:.0%} come from a table of "
        f"{table_size()} sentences, with which the offline teacher ends its prompts.",
        f"How far the offline reward is a matter of words: a linear fit on how often each word is used explains "
        f"{explained_share(*served):.0%} of its variance on queries that the fit has not seen ({len(served.texts)} "
        f"prompts of all arms), and {explained_share(*rollouts, within=True):.0%} of what tells the rollouts of one "
        f"query apart ({len(rollouts.texts)} clips), of which the video pairs are made.",
    ]
