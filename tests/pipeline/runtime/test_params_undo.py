import subprocess
from pathlib import Path

import click
import pytest

from pipeline.runtime.params_file import load_params
from pipeline.runtime.params_undo import describe_undo, flatten

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True)
    return tmp_path / "params.yaml"


def test_a_refused_value_that_stays_in_the_file_says_which_command_takes_it_out(project):
    project.write_text(project.read_text().replace("reward_gap: 0.5 ", "reward_gap: -1 "))
    with pytest.raises(click.ClickException) as caught:
        load_params("params.yaml")
    fault, undo = caught.value.message.splitlines()
    assert "dpo.reward_gap" in fault
    assert undo == "`git checkout -- params.yaml` takes out what was changed since the last commit: dpo.reward_gap"
    subprocess.run(["git", "checkout", "-q", "--", "params.yaml"], check=True)
    assert load_params("params.yaml").dpo.reward_gap == 0.5


def test_a_file_as_it_was_committed_or_that_git_does_not_know_has_nothing_to_take_out(project, tmp_path):
    assert describe_undo("params.yaml", {"a": 1}).startswith("`git checkout")
    Path("other.yaml").write_text("a: 1")
    assert describe_undo("other.yaml", {"a": 2}) == ""
    subprocess.run(["git", "rm", "-q", "--cached", "params.yaml"], check=True)
    import ruamel.yaml

    assert describe_undo("params.yaml", ruamel.yaml.YAML().load(project.read_text())) == ""


def test_many_changes_are_counted_behind_the_first_six_and_what_came_or_went_is_one(project):
    project.write_text("a: 1\nb: {c: 2, d: {}}\ne: null\nf: 6\ng: 7\nh: 8\n")
    for words in (["add", "-A"], ["commit", "-qm", "y"]):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True, capture_output=True)
    command = "`git checkout -- params.yaml` takes out what was changed since the last commit: "
    before = {"a": 1, "b": {"c": 2, "d": {}}, "e": None, "f": 6, "g": 7, "h": 8}
    assert describe_undo("params.yaml", before) == "" and describe_undo("params.yaml", [1]) == ""
    assert describe_undo("params.yaml", before | {"b": {"c": 3, "d": {}}}) == f"{command}b.c"
    assert describe_undo("params.yaml", {name: before[name] for name in before if name != "e"}) == f"{command}e"
    assert describe_undo("params.yaml", before | {"new": None}) == f"{command}new"
    six = {"a": 0, "b": {"c": 0, "d": 0}, "e": 0, "f": 0, "g": 0}
    assert describe_undo("params.yaml", before | six) == f"{command}a, b.c, b.d, e, f, g"
    assert describe_undo("params.yaml", before | six | {"h": 0, "i": 0}) == f"{command}a, b.c, b.d, e, f, g and 2 more"


def test_leaves_are_named_by_their_whole_key():
    assert dict(flatten({"a": {"b": {"c": 1}, "d": []}, "e": {}})) == {"a.b.c": 1, "a.d": [], "e": {}}
