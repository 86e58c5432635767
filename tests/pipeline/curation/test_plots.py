import csv

import numpy as np
import pytest

from pipeline.curation.plots import (
    STEPS,
    TOXICITY_BINS,
    WORDS,
    tabulate_funnel,
    tabulate_lengths,
    tabulate_toxicity,
    write_plots,
)
from schemas.reasons import Reason


def test_the_funnel_tells_what_each_step_leaves():
    dropped = {"unreadable": 1, "prohibited": 2, "pii": 3, "url": 4, "duplicate": 5, "similar": 6, "benchmark": 7}
    steps = dict(tabulate_funnel(100, dropped | {"not_sampled": 8, "refused": 9}))
    assert list(steps.values()) == [100, 99, 94, 90, 85, 79, 72, 55]
    assert list(steps) == list(STEPS)


def test_every_reason_of_curation_has_its_step():
    """A reason without a step would make two steps in a row look alike; those of the re-check count as not drawn."""
    listed = [reason for reasons in STEPS.values() for reason in reasons or ()]
    assert len(set(listed)) == len(listed)
    names = list(Reason)
    assert set(names[: names.index(Reason.REFUSED)]) - set(listed) == {Reason.NOT_SAMPLED}


def test_lengths_are_shares_and_the_last_line_holds_all_longer_ones():
    table = tabulate_lengths(np.array([3, 3, 4, 500, WORDS]), np.array([3]))
    assert len(table) == WORDS + 1
    assert (table[3], table[4], table[WORDS]) == ((3, 0.4, 1.0), (4, 0.2, 0.0), (WORDS, 0.4, 0.0))


def test_toxicity_leaves_out_what_has_no_score():
    table = tabulate_toxicity(np.array([0.0, 0.01, 1.0, np.nan]), np.array([np.nan]))
    assert len(table) == TOXICITY_BINS
    assert table[0] == (0.0, pytest.approx(2 / 3, abs=1e-6), 0.0)
    assert table[-1] == (0.95, pytest.approx(1 / 3, abs=1e-6), 0.0)


@pytest.mark.parametrize(
    "scores",
    [np.array([0.1, 0.9]), *(pytest.param(none, marks=pytest.mark.slow) for none in (np.array([np.nan]), np.zeros(0)))],
)
def test_equal_inputs_give_equal_files(tmp_path, scores):
    words = np.array([3, 70, 900])
    for name in "ab":
        (tmp_path / name).mkdir()
        tables = {"lengths": tabulate_lengths(words, words[:1]), "toxicity": tabulate_toxicity(scores, scores[:1])}
        write_plots(tmp_path / name, {"funnel": tabulate_funnel(3, {"empty": 1}), **tables})
    files = ["curation.png", "funnel.csv", "lengths.csv", "toxicity.csv"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == files
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with (tmp_path / "a" / "funnel.csv").open() as file:
        assert list(csv.reader(file))[:2] == [["step", "left"], ["raw", "3"]]
