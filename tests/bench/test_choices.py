"""What our own choices do: every one is varied or left out for a reason, and the page counts what they move."""

import json

import click
import pytest
from ruamel.yaml import YAML

from bench.choices import (
    CHOICES,
    LEFT_OUT,
    Budget,
    Finished,
    compare_drawn,
    curate,
    name_fault,
    read_figures,
    read_finished,
    vary_demo,
    vary_real,
    write_finished,
)
from bench.choices_page import Measured, read_default
from pipeline.runtime.params_file import check_params
from tests.support.choice_rows import demo_row


@pytest.fixture
def tree(root):
    return YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))


def keys_that_are_ours(text):
    """Return the keys of params.yaml whose comment, beside or above them, says `ours`."""
    keys, above, sections = [], "", []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            above = line if line.startswith(" ") else ""
            continue
        code, _, comment = line.partition("#")
        if code.strip() and not code.lstrip().startswith("-"):
            indent = len(code) - len(code.lstrip())
            sections = [one for one in sections if one[0] < indent] + [(indent, code.split(":")[0].strip())]
            if "ours" in comment or "ours" in above:
                keys.append(".".join(name for _, name in sections))
        above = ""
    return keys


def test_every_constant_that_is_ours_is_varied_or_left_out_for_a_reason(root):
    keys = keys_that_are_ours((root / "params.yaml").read_text(encoding="utf-8"))
    assert len(keys) > 40 and "queries.pii" in keys and "queries.blocked_keywords" in keys
    assert [key for key in keys if key not in CHOICES and key not in LEFT_OUT] == []
    assert CHOICES.keys() & LEFT_OUT.keys() == set()
    assert [key for key in LEFT_OUT if key not in keys] == []


@pytest.mark.parametrize("key", CHOICES)
def test_a_value_that_is_tried_is_allowed_and_not_the_default(key, tree):
    default = read_default(key, tree)
    for value in CHOICES[key]:
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[name] = value
        assert value != default and check_params(tree, "params.yaml")


PLACES = {"fox": "snow", "boat": "lake", "cat": "roof", "man": "hill"}
COLOURS = ("red", "old", "small", "wet", "quick")
QUERIES = [f"a {colour} {thing} walks over the {place}" for colour in COLOURS for thing, place in PLACES.items()]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "typed.json"
    path.write_text(json.dumps([*QUERIES, "a fox", "a fox runs", "see https://a.org/x.png in the rain now"]))
    return path


def test_a_rule_that_is_loosened_keeps_more_rows_and_says_which(source):
    rows = vary_real(source, {"queries.min_words": (2, 4), "queries.drop_urls": (False,), "dpo.min_effect": (1.0,)})
    default, loose, strict, links = rows
    assert [row.key for row in rows] == ["", "queries.min_words", "queries.min_words", "queries.drop_urls"]
    assert default.figures["moved"] == 0 and default.figures["reasons"] == {}
    assert loose.figures["kept"] == default.figures["kept"] + 1 and loose.figures["reasons"]["too_short"] == -1
    assert strict.figures["kept"] < default.figures["kept"]
    assert links.figures["reasons"]["url"] == -1 and links.figures["moved"] > 0


def test_a_value_that_stops_the_stage_is_a_row_that_says_so(source, tmp_path):
    with pytest.raises(click.ClickException, match="queries.languages"):
        curate(source, tmp_path, {"queries.languages": ["xx"]})
    _, row = vary_real(source, {"queries.languages": (["xx"],)})
    assert row.figures == {} and row.note.startswith("stops: ")


def test_what_moved_counts_queries_texts_and_splits():
    counts = {"raw": 9, "dropped": {"pii": 1}, "splits": {"sft": 2, "dpo": 1, "test": 1}}
    default = counts | {"drawn": ["sft/1/a", "sft/2/b", "dpo/3/c", "test/4/d"]}
    other = counts | {"drawn": ["sft/1/a", "sft/2/b -ar", "dpo/3/c", "dpo/4/d"], "dropped": {"pii": 3, "url": 1}}
    compared = compare_drawn(other, default)
    assert compared["kept"] == 5 and compared["reasons"] == {"pii": 2, "url": 1}
    assert compared["moved"] == 0.25 and compared["other_split"] == 0.25


def test_a_smaller_draw_is_moved_too():
    default = {"raw": 4, "dropped": {}, "splits": {}, "drawn": ["sft/1", "sft/2", "sft/3", "sft/4"]}
    assert compare_drawn(default | {"drawn": ["sft/1"]}, default)["moved"] == 0.75


class Written:
    """A demo whose runs take as long, and write what, the test says."""

    def __init__(self, runs):
        self.runs, self.now, self.values = runs, None, []

    def run(self, values, *stages):
        self.values.append(values)
        spent, self.now, fault = self.runs[json.dumps(values)]
        return spent, fault

    def outs(self):
        return self.now

    def figures(self):
        return demo_row("", None, 0.5).figures


NOTHING = Finished(0.0, {})


def test_the_minutes_bound_what_is_run_and_equal_rows_need_no_figures():
    runs = {
        "{}": (100.0, {"data/a": "1"}, ""),
        '{"a": 1}': (90.0, {"data/a": "2"}, ""),
        '{"a": 2}': (1.0, {"data/a": "1"}, ""),
        '{"b": 1}': (100.0, {"data/a": "1"}, "ERROR: too long"),
    }
    written, kept = Written(runs), []
    rows = vary_demo(written, {"a": (1, 2), "b": (1, 2), "c": (1,)}, 200 / 60, NOTHING, kept.append)
    assert [row.note.split(":")[0] for row in rows] == ["", "", "no row changed", "stops", "not run", "not run"]
    assert rows[1].figures["d_dpo"] == 7 and len(kept[-1].rows) == 3 and len(written.values) == 4
    assert {finished.whole for finished in kept} == {100.0}


def test_a_value_that_was_run_before_is_not_run_again():
    written = Written({"{}": (100.0, {}, "")})
    done = demo_row("a", 1, 0.7)
    finished = Finished(100.0, {("a", "1"): done})
    assert vary_demo(written, {"a": (1,)}, 0.01, finished, [].append)[1:] == [done]


def test_a_run_that_goes_on_knows_what_the_whole_graph_took(tmp_path):
    written, kept = Written({"{}": (2.0, {}, "")}), []
    rows = vary_demo(written, {"b": (1,)}, 50 / 60, Finished(100.0, {}), kept.append)
    assert rows[1].note.startswith("not run") and kept[-1].whole == 100.0


def test_a_constant_is_paid_for_by_what_its_last_value_took():
    budget = Budget(100, 90)
    assert budget.pays("a")
    budget.take("a", 20)
    assert budget.pays("a") and not budget.pays("b")


def test_what_a_stage_said_is_told_before_what_dvc_says():
    output = "Running stage 'sft':\nError: data/sft.jsonl: 3 rows are too long\nERROR: failed to reproduce 'sft'\n\n"
    assert name_fault(output) == "Error: data/sft.jsonl: 3 rows are too long"
    assert name_fault("ERROR: failed to reproduce 'sft'\n") == "ERROR: failed to reproduce 'sft'"


@pytest.fixture
def folder(tmp_path):
    """A folder that an earlier call left, with a copy of the project and its store."""
    for name in ("project", "home"):
        (tmp_path / name).mkdir()
    return tmp_path


BASIS = {"commit": "1", "code": {"a.py": "1"}, "files": {}, "params": {}}
OTHER = BASIS | {"code": {"a.py": "2"}}
ROW = Measured("dpo.min_effect", 0.5, {}, "no row changed")


def test_values_of_other_code_are_forgotten(folder):
    finished = Finished(300.0, {("dpo.min_effect", "0.5"): ROW})
    write_finished(folder, BASIS, finished)
    assert read_finished(folder, BASIS | {"commit": "2"}) == finished and (folder / "project").exists()
    assert read_finished(folder, OTHER) == NOTHING
    assert not (folder / "project").exists() and not (folder / "home").exists()
    assert read_finished(folder, OTHER) == NOTHING


@pytest.mark.parametrize("basis", [BASIS, OTHER], ids=["the same code", "other code"])
def test_a_copy_whose_first_run_was_killed_is_made_anew(folder, basis):
    write_finished(folder, BASIS, NOTHING)
    assert read_finished(folder, basis) == NOTHING
    assert not (folder / "project").exists() and not (folder / "home").exists()


def test_the_basis_lies_there_before_the_copy_does(tmp_path):
    assert read_finished(tmp_path, BASIS) == NOTHING
    assert json.loads((tmp_path / "finished.json").read_text())["basis"] == BASIS


def test_a_folder_that_holds_another_project_is_left_alone(folder):
    with pytest.raises(click.ClickException, match="is of no earlier call"):
        read_finished(folder, BASIS)
    assert (folder / "project").exists()


def test_the_figures_are_those_of_the_run(tmp_path):
    for name, n in (("d_text", 2), ("d_video", 3), ("d_dpo", 5)):
        (tmp_path / "data/dpo").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/dpo/{name}.jsonl").write_text("{}\n" * n)
    (tmp_path / "results").mkdir()
    counts = {"units_in": 10, "dropped": {"pii": 2, "not_sampled": 5}}
    (tmp_path / "results/queries.json").write_text(json.dumps(counts))
    rows = [
        {"arm": "dpo", "versus": "sft", "metric": "reward", "value": 0.4, "low": 0.1, "high": 0.7},
        {"arm": "dpo", "versus": None, "metric": "unsafe", "value": 0.2},
        {"arm": "dpo", "versus": None, "metric": "failed", "value": 0.3},
    ]
    (tmp_path / "data/evaluate.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_figures(tmp_path) == {
        "kept": 8, "d_text": 2, "d_video": 3, "d_dpo": 5, "reward": [0.4, 0.1, 0.7], "unsafe": 0.2, "failed": 0.3,
    }  # fmt: skip
