import dataclasses

import pytest
from ruamel.yaml import YAML

from pipeline.evaluation.statistics import mean_with_interval
from tests.support.small_project import small_project
from vpo.comparing.differences import HEADLINES, Figure, compare_runs, measure_arm, subtract, summarize
from vpo.comparing.runs import Run
from vpo.graph import read_graph


def difference(before, after):
    first, later = (summarize(list(values.values()), 200, 0) for values in (before, after))
    return subtract(before, after, first, later, 200, 0)


def test_a_difference_is_over_the_queries_that_both_have():
    made = difference({"a": 0.0, "b": 5.0}, {"a": 1.0, "b": 6.0, "c": 99.0})
    assert (made.value, made.low, made.high, made.n, made.paired) == (1.0, 1.0, 1.0, 2, True)


def test_without_enough_of_them_the_means_are_subtracted():
    made = difference({"a": 1.0, "b": 1.0}, {"c": 3.0, "d": 3.0})
    assert (made.value, made.low, made.high, made.paired) == (2.0, 2.0, 2.0, False)


@pytest.mark.parametrize(
    ("metric", "low", "high", "flag"),
    [
        ("reward", 0.1, 0.3, "better"),
        ("reward", -0.3, -0.1, "WORSE"),
        ("unsafe", 0.1, 0.3, "WORSE"),
        ("unsafe", -0.3, -0.1, "better"),
        ("reward", -0.1, 0.3, ""),
        ("failed", 0.1, 0.3, "WORSE"),
        ("withheld", -0.3, -0.1, "better"),
        ("words", 0.1, 0.3, ""),
    ],
)
def test_a_flag_stands_where_the_interval_leaves_out_0(metric, low, high, flag):
    assert Figure((low + high) / 2, low, high, 9).flag(metric) == flag


def test_shares_are_shown_in_percent_and_no_query_as_a_dash():
    assert Figure(0.5, 0.25, 0.75, 9).show("aligned") == "50.0 [25.0, 75.0]"
    assert Figure(0.5, 0.25, 0.75, 9).show("reward", sign=True) == "+0.50 [+0.25, +0.75]"
    assert Figure(0, 0, 0, 0).show("reward") == "-"


def test_half_of_the_smaller_run_must_be_shared_for_a_paired_difference():
    before = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0, "e": 0.0}
    assert difference(before, {"a": 1.0, "x": 1.0}).paired is True
    assert difference(before, {"a": 1.0, "x": 1.0, "y": 1.0}).paired is False


def test_the_interval_of_a_difference_of_means_adds_both_sides():
    first, later = Figure(1.0, 0.7, 1.4, 9), Figure(3.0, 2.6, 3.3, 4)
    made = subtract({"a": 1.0}, {"b": 3.0}, first, later, 200, 0)
    assert (made.value, made.n, made.paired) == (2.0, 4, False)
    assert (made.low, made.high) == pytest.approx((2 - (0.4**2 + 0.4**2) ** 0.5, 2 + (0.3**2 + 0.3**2) ** 0.5))


@pytest.mark.parametrize(("before", "after"), [({}, {"a": 1.0}), ({"a": 1.0}, {}), ({}, {})])
def test_where_a_run_has_no_query_there_is_no_difference(before, after):
    assert difference(before, after) == Figure(0.0, 0.0, 0.0, 0)


def test_the_figures_are_those_of_the_numbers_their_resamples_and_seed():
    numbers = [0.0, 1.0, 3.0, 8.0]
    one = summarize(numbers, 200, 0)
    assert one == Figure(*mean_with_interval(numbers, 200, 0), 4)
    assert one != summarize(numbers, 200, 1) and one != summarize(numbers, 50, 0)


@pytest.fixture
def runs(tmp_path):
    folders = [small_project(tmp_path / name) for name in ("first", "later")]
    trees = [YAML(typ="safe").load((folder / "params.yaml").read_text()) for folder in folders]
    return [Run(folder.name, tree, folder, read_graph(folder)) for folder, tree in zip(folders, trees, strict=True)]


def test_equal_runs_differ_by_nothing_and_every_headline_is_of_its_arm(runs, tmp_path):
    lines = {line.metric: line for line in compare_runs(runs, "dpo")}
    assert [*lines] == [name for name in HEADLINES if name in lines] and {"words", "aligned", "unsafe"} <= {*lines}
    assert {"reward_written", "failed", "withheld", "unsafe_written"} <= {*lines}, "what is lost stands beside"
    assert all(line.values[0] == line.values[1] for line in lines.values())
    assert {(one.value, one.low, one.high, one.paired) for line in lines.values() for one in line.differences} == {
        (0.0, 0.0, 0.0, True)
    }
    longer = {line.metric: line for line in compare_runs(runs, "dpo")}["words"].values[0].value
    assert longer == pytest.approx(compare_runs(runs, "original")[-1].values[0].value + 4)
    assert {key.partition("/")[0] for key in measure_arm(runs[0], "dpo")["words"]} == {"test"}


def test_figures_take_resamples_and_seed_of_the_first_run(runs):
    def intervals(**evaluate):
        trees = [run.tree | {"evaluate": run.tree["evaluate"] | evaluate} for run in runs[:1]]
        run = dataclasses.replace(runs[0], tree=trees[0])
        return [line.values[0] for line in compare_runs([run, runs[1]], "dpo")]

    assert intervals(bootstrap=100) != intervals(bootstrap=200)
