"""The shares that a page names beside its table, on prompts of which they are known."""

import numpy as np
import pytest

from bench.stock_sentences import (
    centre,
    count_stock_sentences,
    count_words,
    explained_share,
    fit,
    score_arms,
    score_rollouts,
    table_size,
)
from pipeline.world.phrases import PHRASES
from tests.support.small_project import small_project

STOCK = [phrase.sentence for phrases in PHRASES.values() for phrase in phrases]


def test_sentences_of_the_table_are_counted_as_they_are():
    prompts = [f"The scene shows a fox. {STOCK[0]} {STOCK[5]}", f"A dog sleeps. {STOCK[1].lower()}"]
    assert count_stock_sentences(prompts) == (3, 5)
    assert count_stock_sentences([STOCK[0].rstrip(".") + " and far."]) == (0, 1)


def test_the_table_is_the_worlds():
    assert table_size() == len(STOCK) > 10


def test_words_of_one_text_alone_are_left_out():
    assert count_words(["a fox, a dog", "A Fox!", "bird"]).tolist() == [[2, 1], [1, 1], [0, 0]]


def made(seed, noise):
    """Return 200 texts of 50 queries, and rewards that are linear in their words but for noise."""
    draws = np.random.default_rng(seed)
    words = [f"w{number}" for number in range(12)]
    weights = draws.normal(size=12)
    uses = draws.integers(0, 2, (200, 12))
    texts = [" ".join(word for word, use in zip(words, row, strict=True) if use) for row in uses]
    return texts, (uses @ weights + noise * draws.normal(size=200)).tolist(), [f"q{row // 4}" for row in range(200)]


@pytest.mark.parametrize("within", [False, True])
def test_a_reward_that_is_linear_in_the_words_is_explained(within):
    assert explained_share(*made(0, noise=0.0), within=within) > 0.99


@pytest.mark.parametrize("within", [False, True])
def test_a_reward_that_has_nothing_to_do_with_the_words_is_not(within):
    texts, _, groups = made(0, noise=0.0)
    rewards = np.random.default_rng(1).normal(size=200).tolist()
    assert explained_share(texts, rewards, groups, within=within) < 0.1


def test_half_of_the_variance_is_half():
    texts, rewards, groups = made(2, noise=0.0)
    noise = np.random.default_rng(3).normal(size=200) * np.std(rewards)
    assert 0.35 < explained_share(texts, (np.array(rewards) + noise).tolist(), groups) < 0.6


def test_what_a_query_alone_decides_is_not_explained_on_queries_that_were_not_seen():
    """Each query has a word of its own and a reward of its own: a fit that had seen them would explain all."""
    groups = [f"q{row // 4}" for row in range(200)]
    rewards = [float(np.random.default_rng(row // 4).normal()) for row in range(200)]
    assert explained_share([f"{group} fox" for group in groups], rewards, groups) < 0.1


def test_within_a_query_its_mean_does_not_count():
    rows = np.array([[1.0, 5.0], [3.0, 7.0], [10.0, 0.0]])
    assert centre(rows, ["a", "a", "b"]).tolist() == [[-1.0, -1.0], [1.0, 1.0], [0.0, 0.0]]


def test_too_few_queries_are_refused():
    with pytest.raises(ValueError, match="2 queries are too few"):
        explained_share(["a", "b"], [1.0, 2.0], ["q1", "q2"])


def test_prompts_of_finished_runs_stand_beside_their_rewards_and_their_queries(tmp_path):
    """In the small project the arm dpo adds a sentence and has the reward 1; original has 0."""
    project = small_project(tmp_path)
    served = score_arms([project, project])
    assert len(served.texts) == 16 and len(set(served.groups)) == 4, "a query of two runs is one query"
    rewards = dict(zip(served.texts, served.rewards, strict=True))
    assert rewards["an old mill"] == 0 and rewards["an old mill The camera stays calm."] == 1
    rollouts = score_rollouts([project])
    assert "a train at night take 1." in rollouts.texts and len(set(rollouts.groups)) == 3


@pytest.mark.parametrize("rows", [6, 40])
def test_a_fit_is_ridge_regression_with_more_rows_than_words_and_with_fewer(rows):
    draws = np.random.default_rng(0)
    words, values, others = draws.normal(size=(rows, 12)), draws.normal(size=rows), draws.normal(size=(3, 12))
    inner = words - words.mean(0)
    for ridge, predicted in zip((0.3, 10.0), fit(words, values, (0.3, 10.0), others), strict=True):
        # rows of sqrt(ridge) beside the data are the penalty of least squares
        stacked = np.vstack([inner, np.sqrt(ridge) * np.eye(12)])
        weights = np.linalg.lstsq(stacked, np.concatenate([values - values.mean(), np.zeros(12)]), rcond=None)[0]
        assert predicted == pytest.approx(values.mean() + (others - words.mean(0)) @ weights)
