"""The recipe of the laptop's DPO: the page compares what was run, and what it calls chosen is what params.yaml has."""

import json

import pytest
from ruamel.yaml import YAML

from bench.harmless import (
    ALL_PAIRS,
    CHOSEN,
    RECIPES,
    REPORTED_ON,
    TUNED_ON,
    compare,
    keep,
    tabulate_recipes,
    tabulate_seeds,
    was_run,
)
from bench.page import hash_code


def value_of(tree, key):
    for word in key.split("."):
        tree = tree[word]
    return tree


def test_the_chosen_recipe_is_that_of_the_laptop(root):
    tree = YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))
    chosen = {**ALL_PAIRS, **RECIPES[CHOSEN]}
    assert {key: value_of(tree, key) for key in chosen} == chosen


def test_no_seed_that_is_reported_was_chosen_on():
    assert not {*TUNED_ON} & {*REPORTED_ON}


def run(lost_by_sft, lost_by_dpo, reward):
    """A run of ten queries: how many each arm loses, and by how much dpo's reward is above sft's."""
    arms = {}
    for arm, lost, mean in (("sft", lost_by_sft, 4.0), ("dpo", lost_by_dpo, 4.0 + reward)):
        queries = [f"q{i}" for i in range(10)]
        arms[arm] = {"failed": {query: float(i < lost) for i, query in enumerate(queries)}}
        arms[arm] |= {name: dict.fromkeys(queries, mean) for name in ("reward", "unsafe", "aligned")}
    return {"values": arms, "pairs": {"text": 3, "video": 4}}


BASIS = {"commit": "abc", "code": {"a.py": "1"}, "files": {}, "params": {}}
OLDER = {"commit": "older", "code": {"a.py": "0"}, "files": {}, "params": {}}


@pytest.fixture
def keep_run(tmp_path):
    (tmp_path / "samples").mkdir()

    def keep_run(name, seed, one, basis=BASIS):
        keep(tmp_path / "values" / f"{name}-{seed}.json", one, basis)
        return tmp_path

    return keep_run


def test_differences_are_of_the_same_query_over_all_runs():
    value, low, high = compare([run(1, 3, 0.5), run(1, 1, 0.5)], "failed")
    assert value == pytest.approx(0.1) and low < value < high
    assert compare([run(1, 3, 0.5)], "reward") == pytest.approx((0.5, 0.5, 0.5))


def test_a_query_that_one_arm_has_no_reward_for_is_left_out():
    one = run(0, 0, 0.5)
    one["values"]["sft"]["reward"].pop("q3")
    one["values"]["dpo"]["reward"]["q3"] = 99.0
    assert compare([one], "reward")[0] == pytest.approx(0.5)


def test_each_recipe_that_ran_has_a_line_with_its_seeds(keep_run):
    keep_run("all_pairs", 1, run(1, 3, 0.5))
    folder = keep_run("all_pairs", 2, run(0, 1, 0.5))
    (folder / "samples/sft-2.json").write_text(json.dumps({"n_samples": 40, "lost": 2}))
    (folder / "samples/all_pairs-2.json").write_text(json.dumps({"n_samples": 40, "lost": 6}))
    _, _, line = tabulate_recipes(folder)
    assert line.endswith(" | abc |")
    assert line.startswith("| `all_pairs` | 1 2 | 3, 4 | 10.0 -> 30.0; 0.0 -> 10.0 | +15.0 [+0.0, ")
    assert "| 5.0 -> 15.0 |" in line


@pytest.mark.parametrize(
    ("lost", "reward", "verdict"),
    [
        ((1, 1), 0.5, "the recipe holds"),
        ((1, 2), 0.5, "**the recipe does not hold**"),
        ((1, 1), -0.5, "**the recipe does not hold**"),
    ],
)
def test_a_recipe_holds_where_few_more_are_lost_and_reward_rises(keep_run, lost, reward, verdict):
    folder = keep_run(CHOSEN, 11, run(*lost, reward))
    keep_run(CHOSEN, 1, run(0, 9, -1.0))  # not among the seeds that are reported
    keep_run("all_pairs", 11, run(0, 8, 0.5))
    *_, all_seeds, all_pairs, _, sentence = tabulate_seeds(folder, hash_code(BASIS))
    assert all_pairs.startswith("| all, `all_pairs` (1 seeds) | 0.0 | 80.0 |")
    assert all_seeds.startswith(f"| all | {lost[0] * 10:.1f} | {lost[1] * 10:.1f} |")
    assert f": {verdict}. Of single seeds {int(lost[1] == 1)} of 1 stay" in sentence


def test_a_run_of_older_code_is_run_again_and_not_reported(keep_run):
    folder = keep_run(CHOSEN, 11, run(1, 9, 0.5), OLDER)
    assert not was_run(folder / f"values/{CHOSEN}-11.json", BASIS)
    assert len(tabulate_seeds(folder, hash_code(BASIS))) == 2
    keep_run(CHOSEN, 11, run(1, 1, 0.5))
    assert was_run(folder / f"values/{CHOSEN}-11.json", BASIS)
    assert tabulate_seeds(folder, hash_code(BASIS))[2].startswith("| 11 | 10.0 | 10.0 |")


def test_a_recipe_that_loses_no_sample_has_its_share(keep_run):
    folder = keep_run("one_pair", 1, run(1, 0, 0.5))
    for name, lost in (("sft", 2), ("one_pair", 0)):
        (folder / f"samples/{name}-1.json").write_text(json.dumps({"n_samples": 40, "lost": lost}))
    assert "| 5.0 -> 0.0 |" in tabulate_recipes(folder)[2]
