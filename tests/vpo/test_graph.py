from pathlib import Path

import click
import pytest

from tests.support.small_project import ROOT
from vpo.graph import ancestors, read_graph, read_graphs

MADE = """
vars:
  - more.yaml:shared
  - own: {word: w}
stages:
  params:
    cmd: python -m pipeline params --params recipes/tiny/params.yaml data/tiny/params.json
    wdir: ../..
    params: [{recipes/tiny/params.yaml: null}]
    outs: [data/tiny/params.json]
  plain:
    desc: what it does
    cmd: python -m pipeline fewshot --params recipes/tiny/params.yaml --lane ${own.word} in/x.jsonl data/tiny/x.jsonl
    wdir: ../..
    deps: [in/x.jsonl, data/tiny/params.json, '${shared.template}']
    params: [other.yaml: [c], recipes/tiny/params.yaml: [a.b]]
    outs: [data/tiny/x.jsonl, data/tiny/x_dropped.jsonl, data/tiny/x.json: {cache: false}]
    plots: [data/tiny/x.csv]
  over_list:
    foreach: [one, two]
    do:
      cmd: python -m train sft data/tiny/x.jsonl data/tiny/${item}/model
      wdir: ../..
      deps: [data/tiny/x.jsonl]
      outs: ['data/tiny/${item}/model']
      metrics: ['results/${item}.json': {cache: false}]
  over_mapping:
    foreach: ${arms}
    do:
      cmd: python -m pipeline rollout --arm ${key} ${item.source} data/tiny/${key}/rollout.jsonl
      wdir: ../..
      deps: ['${item.source}']
      outs: ['data/tiny/${key}/rollout.jsonl']
  over_both:
    matrix:
      suite: [test, hard]
      arm: ${arms}
    cmd: python -m pipeline reward data/tiny/${item.arm}/rollout.jsonl data/tiny/${item.suite}/${item.arm}.jsonl
    wdir: ../..
    deps: ['data/tiny/${item.arm}/rollout.jsonl']
    outs: ['data/tiny/${item.suite}/${item.arm}.jsonl']
  here:
    cmd: touch out.txt
    deps: [in.txt]
    outs: [out.txt]
"""


@pytest.fixture
def project(tmp_path):
    """The root's graph, and one in recipes/tiny that uses all that dvc.yaml has to give."""
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    folder = tmp_path / "recipes/tiny"
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(MADE)
    (folder / "params.yaml").write_text("a: {b: 1}\narms: {x: {source: in/x}, y: {source: data/tiny/one/model}}\n")
    (folder / "more.yaml").write_text("shared: {template: in/words.jinja}\n")
    (tmp_path / "other.yaml").write_text("c: 1\n")
    return tmp_path


@pytest.fixture
def tiny(project):
    return read_graph(project, "tiny")


def test_every_graph_of_the_project_is_read(project):
    graphs = read_graphs(project)
    assert list(graphs) == ["", "tiny"]
    assert (graphs[""].file, graphs[""].params_file) == ("dvc.yaml", "params.yaml")
    assert (graphs["tiny"].file, graphs["tiny"].params_file) == ("recipes/tiny/dvc.yaml", "recipes/tiny/params.yaml")


def test_a_graph_that_is_not_there_is_an_error_with_the_names_there_are(project):
    with pytest.raises(click.ClickException, match="no graph none: .* tiny"):
        read_graph(project, "none")


@pytest.mark.slow
def test_stages_deps_and_outs_are_those_that_dvc_itself_reads(project, monkeypatch):
    from dvc.repo import Repo

    monkeypatch.chdir(project)
    with Repo.init(str(project), no_scm=True) as repo:
        theirs = {}
        for stage in repo.index.stages:
            deps = {dep.def_path for dep in stage.deps if not hasattr(dep, "params")}
            deps = {Path(stage.wdir, dep).relative_to(project).as_posix() for dep in deps}
            outs = {Path(stage.wdir, out.def_path).relative_to(project).as_posix() for out in stage.outs}
            theirs[stage.path_in_repo.removesuffix("dvc.yaml"), stage.name] = deps, outs
    ours = {}
    for graph in read_graphs(project).values():
        for stage in graph.stages.values():
            place = graph.file.removesuffix("dvc.yaml"), stage.name
            ours[place] = {*stage.deps}, {*stage.outs, *stage.metrics, *stage.plots}
    assert len(ours) > 50
    assert ours == theirs


def test_a_stage_says_how_it_is_run(tiny):
    plain = tiny.stages["plain"]
    assert (plain.package, plain.module, plain.code_file) == ("pipeline", "fewshot", "pipeline/fewshot.py")
    assert (plain.options, plain.paths) == (("--lane", "w"), ("in/x.jsonl", "data/tiny/x.jsonl"))
    assert (plain.word_after("--lane"), plain.word_after("--arm")) == ("w", None)
    assert (plain.params_file, plain.params) == ("recipes/tiny/params.yaml", ("other.yaml:c", "a.b"))
    assert (plain.graph, plain.desc) == ("tiny", "what it does")
    assert tiny.stages["params"].params == ("",)
    assert tiny.stages["here"].module == ""


def test_metrics_and_plots_are_apart_from_outs(tiny):
    plain = tiny.stages["plain"]
    assert plain.outs == ("data/tiny/x.jsonl", "data/tiny/x_dropped.jsonl")
    assert (plain.metrics, plain.plots) == (("data/tiny/x.json",), ("data/tiny/x.csv",))
    assert tiny.stages["over_list@one"].metrics == ("results/one.json",)


def test_foreach_and_matrix_are_columns(tiny):
    assert [stage.columns for stage in tiny.entries["over_list"].stages] == [{"key": "one"}, {"key": "two"}]
    assert tiny.stages["over_both@hard-y"].columns == {"suite": "hard", "arm": "y"}


def test_a_lane_is_the_key_of_a_stage_named_as_its_module_else_the_end_of_its_name():
    stages = read_graph(ROOT).stages
    lanes = {"critique@sft": "sft", "critique_eval@test-dpo": "eval", "d_dpo_arm@dpo_no_text": "", "d_dpo": ""}
    assert {name: stages[name].lane for name in lanes} == lanes
    assert (stages["critique@sft"].arm, stages["critique_eval@test-dpo"].arm) == ("", "dpo")


def test_who_writes_and_who_reads_a_path(tiny):
    assert tiny.maker("data/tiny/x.jsonl").name == "plain"
    assert tiny.maker("in/x.jsonl") is None
    assert [stage.name for stage in tiny.readers("data/tiny/x.jsonl")] == ["over_list@one", "over_list@two"]


def test_upstream_goes_from_the_nearest_to_the_farthest(tiny):
    names = [stage.name for stage in tiny.upstream("data/tiny/hard/y.jsonl")]
    assert names == ["over_both@hard-y", "over_mapping@y", "over_list@one", "plain", "params"]


def test_a_value_that_is_missing_is_an_error_that_names_the_file(project):
    file = project / "recipes/tiny/dvc.yaml"
    file.write_text(file.read_text().replace("${own.word}", "${own.wrod}"))
    with pytest.raises(click.ClickException, match=r"recipes/tiny/dvc.yaml: \$\{own.wrod\} has no value"):
        read_graph(project, "tiny")


def test_a_file_that_is_no_yaml_is_an_error(project):
    (project / "dvc.yaml").write_text("stages: [")
    with pytest.raises(click.ClickException, match="dvc.yaml: not YAML"):
        read_graph(project)


def test_what_one_writes_the_other_waits_for_also_behind_a_folder():
    graph = read_graph(ROOT)
    assert ancestors(graph.stages) == graph.before
    assert {"render@dpo", "critique@dpo", "queries", "sft"} <= graph.before["reward@dpo"]
    assert "evaluate" not in graph.before["dpo"] and "reward_eval@test-dpo" in graph.before["evaluate"]
    places = {stage.name: number for number, stage in enumerate(graph.ordered)}
    assert all(places[other] < places[name] for name, others in graph.before.items() for other in others)
