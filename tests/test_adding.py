"""What CONTRIBUTING says of adding is so: a stage, a reward, a renderer and an arm are added in a copy, and work."""

import json
import re
import shutil
import sys

import pytest

from tests.support.additions import add
from tests.support.contributing import paths_to_add
from tests.support.project import ROOT, Project
from tests.support.small_project import small_project, write_params

pytestmark = pytest.mark.slow
SCORED = "reward_eval@test-original"


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A project with a few queries, whose few-shot prompts are written, and the clips of one arm are scored."""
    folder = tmp_path_factory.mktemp("begun")
    project = Project(folder / "project", folder / "home", {})
    small = small_project(folder)
    project.run("python", "-m", "pipeline", "params", "data/params.json", "data/code", "data/files")
    shutil.copytree(small / "data/queries", project.path / "data/queries")
    (project.path / "results/queries").mkdir(parents=True)
    shutil.copyfile(small / "results/queries.json", project.path / "results/queries.json")
    project.run("dvc", "commit", "-f", "params", "queries")
    project.run("dvc", "repro", "fewshot@sft", SCORED)
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "begun")
    return project


@pytest.fixture(scope="module")
def sound(begun, tmp_path_factory):
    """What `vpo check` says of hand-made rows of every stage."""
    return verdicts(begun, tmp_path_factory.mktemp("sound"))


@pytest.fixture
def project(begun, tmp_path):
    copy = object.__new__(Project)
    copy.path, copy.home = tmp_path / "project", tmp_path / "home"
    shutil.copytree(begun.path, copy.path, symlinks=True)
    shutil.copytree(begun.home, copy.home)
    return copy


def added_paths(project, what):
    """Add it; return the files that this has touched, with <name> in the place of the name."""
    name = add(what, project.path)
    touched = project.run("git", "status", "--porcelain", "-uall").stdout.splitlines()
    return sorted(line[3:].replace(name, "<name>") for line in touched)


def vpo(project, *words):
    return project.run("python", "-m", "vpo", *words).stdout


def sql(project, query):
    return json.loads(vpo(project, "sql", "--json", query))


def planned(project):
    """Return the rows of `vpo plan` by their stage."""
    return {row["stage"]: row for row in json.loads(vpo(project, "plan", "--json"))["stages"]}


def verdicts(project, folder, section=None, **values):
    """Return what `vpo check` of the project says of hand-made rows of every stage, with its graph and more params."""
    folder.mkdir(exist_ok=True)
    small_project(folder)
    shutil.copyfile(project.path / "dvc.yaml", folder / "dvc.yaml")
    write_params(folder)
    tree = json.loads((folder / "params.yaml").read_text())
    node = tree
    for name in section.split(".") if section else ():
        node = node.setdefault(name, {})
    node.update(values)
    (folder / "params.yaml").write_text(json.dumps(tree))
    (folder / "data/models/sft").mkdir(parents=True)
    (folder / "data/models/sft/model.safetensors").write_bytes(b"weights")
    done = project.run(
        "env", "-C", str(folder), sys.executable, "-m", "vpo", "check", "--json",
        check=False, PYTHONPATH=str(project.path),
    )  # fmt: skip
    return json.loads(done.stdout)


def run_tests(project, *words):
    """Run tests of the copy in the copy."""
    project.run("git", "add", "-A")  # some of them ask git for the files
    project.run("python", "-m", "pytest", "-p", "no:cacheprovider", *words)


def renew_table(project):
    """Put the table of the stages into the README as CONTRIBUTING says, and what else repeats the code; return it."""
    readme, table = project.path / "README.md", vpo(project, "stages", "--md").strip()
    before, start, rest = re.split(r"(<!-- stages.*?-->\n)", readme.read_text())
    text = before + start + table + rest[rest.index("\n<!-- /stages -->") :]
    readme.write_text(text)
    project.run("python", "-m", "docs.generate")  # pages of benches stand on the graph, which has grown
    return readme.read_text()


def test_a_stage(project, sound, tmp_path):
    assert added_paths(project, "stage") == sorted(paths_to_add(ROOT)["stage"])
    # before it has run nobody can count what it leaves to the stage behind it, and no number is made up
    rows = planned(project)
    assert rows["fewshot@sft"]["notes"] == ["unchanged: does not run"]
    assert rows["critique@sft"]["calls"] is None
    assert "word_limit@sft: runs\n" in vpo(project, "why", "word_limit@sft")

    project.run("dvc", "repro", "word_limit@sft")
    kept = sql(project, "select count(*) as n from word_limit_sft")[0]["n"]
    dropped = sql(project, "select lane, reason, count(*) as n from word_limit_dropped group by all")
    assert kept and dropped == [{"lane": "sft", "reason": "too_long", "n": 4 - kept}]
    assert planned(project)["critique@sft"]["calls"] == kept
    assert verdicts(project, tmp_path / "checked", "word_limit", max_words=60) == sound

    project.run("python", "-m", "pipeline", "critique", "data/sft/word_limit.jsonl", "data/sft/critique.jsonl")
    judged = sql(project, "select count(*) as n from critique_sft join word_limit_sft using (prompt_id)")
    assert judged == [{"n": kept}]
    assert "| `word_limit` | x, p -> p of few words | `pipeline/word_limit.py` | WordLimit |" in renew_table(project)
    tests = (
        "tests/pipeline/test_word_limit.py",
        "tests/test_readme.py",
        "tests/test_layout.py",
        "tests/test_mirror.py",
    )
    run_tests(project, *tests, "-k", "word_limit or readme or door or code_under or import_each")


def test_a_reward_that_needs_no_weights_a_renderer_and_an_arm_of_both(project, sound, tmp_path):
    for what in ("reward", "renderer"):
        assert added_paths(project, what) == sorted(paths_to_add(ROOT)[what])
        project.run("git", "add", "-A")
        project.run("git", "commit", "-qm", what)
    assert paths_to_add(ROOT)["arm"] == []
    project.run(
        "dvc", "exp", "run", "-S", "+reward.models.sharp={backend: sharpness, scored_text: query}",
        "-S", "render.backend=noise", "-S", "+evaluate.arms.again={prompts: query, source: data/queries/test.jsonl}",
        "reward_eval@test-again",
    )  # fmt: skip
    changed = {*project.run("git", "diff", "--name-only").stdout.split()}
    assert {path for path in changed if not path.endswith(".gitignore")} == {"dvc.lock", "params.yaml"}
    assert project.run("git", "diff", "--numstat", "params.yaml").stdout.split()[:2] == ["7", "1"]

    rows = sql(project, "select arm, rendered_by.backend as backend, count(*) as n from render_eval group by all")
    assert sorted(map(str, rows)) == [
        str({"arm": "again", "backend": "noise", "n": 5}),
        str({"arm": "original", "backend": "offline", "n": 5}),
    ]
    rows = sql(project, "select arm, min(dims[1].value) > 10 as noisy, count(*) as n from reward_eval "
                        "where reward = 'sharp' group by all")  # fmt: skip
    assert rows == [{"arm": "again", "noisy": True, "n": 5}]

    reasons = vpo(project, "why", "reward_eval")
    assert "reward_eval@test-again: does not run" in reasons and f"{SCORED}: runs\n" in reasons
    assert "render.backend: offline -> noise" in reasons and "reward.models" in reasons
    assert {"critique_eval@test-again", "critique_eval@test-original"} <= planned(project).keys()
    sharp = {"backend": "sharpness", "scored_text": "query"}
    assert verdicts(project, tmp_path / "checked", "reward.models", sharp=sharp) == sound
    backends = "tests/pipeline/backends"
    run_tests(project, f"{backends}/reward/test_sharpness.py", f"{backends}/renderer/test_noise.py")
    assert vpo(project, "stages", "--md").strip() in (project.path / "README.md").read_text()
