"""A recipe with a graph of its own is seen by every command of `vpo`."""

import json

import pytest

from tests.support.project import Project
from tests.support.second_graph import write_second_graph

pytestmark = pytest.mark.graph
NAME = "tiny-graph"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The project with a second graph, of which some stages have run; the root's has not."""
    folder = tmp_path_factory.mktemp("second")
    project = Project(folder / "project", folder / "home")
    file = write_second_graph(project.path, NAME)
    stages = ("critique@sft", "render_eval@test-original")
    project.run("dvc", "repro", *(f"{file}:{stage}" for stage in stages))
    return project


def vpo(project, *words, check=True):
    done = project.run("python", "-m", "vpo", *words, check=check)
    return done.stdout if check else done.stdout + done.stderr


def test_sql_has_its_views_in_a_schema_with_its_name(both):
    query = "select count(*) as n from {} where aligned is not null"
    assert json.loads(vpo(both, "sql", "--json", query.format("tiny_graph.critique_sft")))[0]["n"] > 50
    assert json.loads(vpo(both, "sql", "--json", query.format("critique_sft"))) == [{"n": 0}]
    bare = vpo(both, "sql", "--json", "--recipe", NAME, query.format("critique"))
    assert json.loads(bare)[0]["n"] > 50
    listed = {row["view"] for row in json.loads(vpo(both, "sql", "--json"))}
    assert {"critique_sft", "tiny_graph.critique_sft", "tiny_graph.render_eval_dropped"} <= listed
    assert "tiny_graph.d_dpo" not in listed


def test_stages_lists_its_stages_behind_its_name(both):
    text = vpo(both, "stages")
    assert f"\n{NAME}:\n" in text and "data/tiny-graph/<key>/critique.jsonl" in text
    assert f"Recipe `{NAME}` (`recipes/{NAME}/dvc.yaml`):" in vpo(both, "stages", "--md")


def test_clips_come_from_its_arms(both, tmp_path):
    text = vpo(both, "clips", "--recipe", NAME, "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["original.mp4"] and "original: " in text
    said = vpo(both, "clips", check=False)
    assert "run `dvc repro render_eval@" in said


def test_check_goes_through_what_it_has_and_passes_over_what_it_has_not(both):
    checks = json.loads(vpo(both, "check", "--json", "--recipe", NAME))
    assert checks["no query is in two splits"] == [] and checks["sibling prompts share their noise"] == []
    assert checks["a text pair's loser was found flawed"] is None
    assert "nothing to check" in vpo(both, "check", check=False)


def test_plan_counts_its_stages_by_its_params(both):
    plan = json.loads(vpo(both, "plan", "--json", "--recipe", NAME))
    rows = {row["stage"]: row for row in plan["stages"]}
    assert set(rows) == {"queries", "fewshot@sft", "critique@sft"}
    assert rows["critique@sft"]["notes"] == ["unchanged: does not run"]
    assert [row["stage"] for row in plan["gpu"]["stages"]] == ["render_eval@test-original"]


def test_why_says_which_of_its_params_has_changed(both):
    path = both.path / "recipes" / NAME / "params.yaml"
    before = path.read_text()
    path.write_text(before.replace('"votes": 1', '"votes": 3'))
    try:
        text = vpo(both, "why", "critique@sft", "--recipe", NAME)
    finally:
        path.write_text(before)
    assert "critique@sft: runs\n  param  critique.votes: 1 -> 3\n" in text
    assert "does not run" in vpo(both, "why", "fewshot", "--recipe", NAME)


def test_publish_sends_its_package(both):
    said = vpo(both, "publish", "--dry-run", "--recipe", NAME, "someone/pairs", check=False)
    assert f"data/{NAME}/package: nothing to publish; `dvc repro recipes/{NAME}/dvc.yaml:package` makes it" in said


def test_a_recipe_without_a_graph_is_one_line(both):
    for command in (("sql", "select 1"), ("plan",), ("check",), ("clips",), ("why", "critique")):
        said = vpo(both, *command, "--recipe", "laptop", check=False)
        assert f"no graph laptop: recipes with a dvc.yaml are {NAME}" in said and "Traceback" not in said


def test_its_folder_is_a_part_of_the_project_above(both):
    done = both.run("python", "-c", "from vpo.project import find_project; from pathlib import Path; "
                    f"print(find_project(Path('recipes/{NAME}')))")  # fmt: skip
    assert done.stdout.strip() == str(both.path)
