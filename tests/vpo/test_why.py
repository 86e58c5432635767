import json
import math

import click
import pytest

from tests.support.graphs import CODE, GATE, REFINE, graph_of
from vpo.planning.expected import Estimate
from vpo.planning.reasons import Reasons
from vpo.why import as_data, choose, describe, explain

READER = {
    "cmd": "python -m pipeline d_text data/b.jsonl data/d.jsonl",
    "deps": ["data/b.jsonl"],
    "outs": ["data/d.jsonl"],
}
GRAPH = graph_of(params=GATE, refine=REFINE | {"outs": ["data/b.jsonl"]}, d_text=READER)
LOCK = """
stages:
  refine:
    deps: [{path: data/code/refine.json, md5: abcd}]
    params: {params.yaml: {refine.verify: 0}}
  d_text: {deps: [{path: data/b.jsonl, md5: x}]}
"""


@pytest.fixture
def project(tmp_path):
    """A project whose refine.py has changed since the last run."""
    (tmp_path / "dvc.lock").write_text(LOCK)
    for path, code in (
        ("data/code/refine.json", CODE),
        (".dvc/cache/files/md5/ab/cd", CODE | {"schemas/base.py": "0"}),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(json.dumps(code))
    return tmp_path


STATUS = {"params": ["x"], "refine": [{"changed deps": {"data/code/refine.json": "modified"}}]}


def stages(*names):
    return [GRAPH.stages[name] for name in names]


def test_a_stage_runs_for_its_own_sake_or_behind_another_and_never_for_the_gate_itself(project):
    groups = explain(project, GRAPH, stages("refine", "d_text"), STATUS)
    assert {name: [(group.stage, group.code) for group in found] for name, found in groups.items()} == {
        "refine": [("refine", ["schemas/base.py"])],
        "d_text": [("refine", ["schemas/base.py"])],
    }


def test_where_nothing_has_changed_there_is_no_reason(project):
    assert explain(project, GRAPH, stages("refine"), {}) == {"refine": []}


def test_a_stage_that_never_ran_says_so(project):
    (project / "dvc.lock").unlink()
    (group,) = explain(project, GRAPH, stages("refine"), STATUS)["refine"]
    assert list(group.lines()) == ["it has not run yet"]


def test_a_stage_is_named_by_itself_or_with_all_of_its_lanes():
    lanes = {"foreach": ["sft", "dpo"], "do": {"cmd": "python -m pipeline refine a/${item} b/${item}"}}
    graph = graph_of(refine=lanes)
    assert [stage.name for stage in choose(graph, "refine")] == ["refine@sft", "refine@dpo"]
    assert [stage.name for stage in choose(graph, "refine@sft")] == ["refine@sft"]
    with pytest.raises(click.ClickException, match="no stage refien; near it: refine"):
        choose(graph, "refien")
    with pytest.raises(click.ClickException, match="no stage zzz; dvc.yaml has refine"):
        choose(graph, "zzz")


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"to_buy": 80, "in_store": 3, "usd": 0.5}, "80 calls to buy, $0.50; 3 in the store"),
        ({"to_buy": 80, "usd": None}, "80 calls to buy, at a price that is unknown; 0 in the store"),
        ({"to_buy": math.nan}, "what it will buy is unknown, no plan can count it"),
        ({"backend": "offline", "paid": False}, "nothing is bought"),
    ],
)
def test_what_will_be_bought_is_one_line(figures, says):
    item = Estimate(**{"stage": "refine", "seam": "teacher", "backend": "openai", "model": "m", "paid": True} | figures)
    assert describe(item) == f"teacher m: {says}"


def test_json_has_null_where_nobody_can_count():
    item = Estimate("refine", "teacher", "openai", "m", True, to_buy=math.nan)
    made = as_data({"refine": [Reasons("refine", code=["a.py"])], "d_text": []}, {"refine": item})
    assert made["refine"]["runs"] and made["refine"]["buys"]["to_buy"] is None
    assert made["refine"]["reasons"][0]["code"] == ["a.py"]
    assert made["d_text"] == {"runs": False, "reasons": [], "buys": None}


def test_a_stage_lists_its_own_reasons_first_and_then_those_of_all_before_it(project):
    status = STATUS | {"d_text": [{"changed outs": {"data/d.jsonl": "deleted"}}]}
    groups = explain(project, GRAPH, stages("d_text"), status)["d_text"]
    assert [(group.stage, [*group.lines()]) for group in groups] == [
        ("d_text", ["out    data/d.jsonl: deleted"]), ("refine", ["code   schemas/base.py"]),
    ]  # fmt: skip


def test_json_says_nothing_of_what_a_stage_buys_that_does_not_run():
    item = Estimate("refine", "teacher", "openai", "m", True, to_buy=2.0, usd=0.5)
    made = as_data({"refine": []}, {"refine": item})
    assert made == {"refine": {"runs": False, "reasons": [], "buys": None}}
    made = as_data({"refine": [Reasons("refine", params={"a": (1, 2)})]}, {"refine": item})
    assert made["refine"]["buys"]["usd"] == 0.5 and made["refine"]["reasons"][0]["params"] == {"a": (1, 2)}
