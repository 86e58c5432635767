"""What DVC's stages write never comes into git, and travels by DVC instead; real DVC, stages that take no time."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT, Project
from vpo.graph import read_graph
from vpo.unroll import Stage


def outs(stage: Stage) -> tuple[str, ...]:
    return (*stage.outs, *stage.metrics, *stage.plots)


OUTS = [out for stage in read_graph(ROOT).stages.values() for out in outs(stage)]

# stands for `python` in the stages: writes what the stage of $DVC_STAGE writes, and fails where it is told to
PYTHON = """#!{python}
import os, pathlib, shlex, sys
stage = os.environ["DVC_STAGE"]
for out in pathlib.Path("../outs", stage.replace("/", "_")).read_text().split():
    path = pathlib.Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{{"%s": 1}}' % out if path.suffix == ".json" else out)
with open("../ran", "a") as log:
    log.write(stage + "\\n")
sys.exit(stage in pathlib.Path("../failing").read_text().split())
"""


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A project whose stages write one line an output; those named in `failing` end with 1 after that."""
    folder = tmp_path_factory.mktemp("git")
    project = Project(folder / "project", folder / "home")
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text(PYTHON.format(python=sys.executable))
    (folder / "bin/python").chmod(0o755)
    (folder / "outs").mkdir()
    graph = read_graph(project.path)
    deps = {dep for stage in graph.stages.values() for dep in stage.deps}
    for name, stage in graph.stages.items():
        files = []
        for out in outs(stage):
            inside = [dep for dep in sorted(deps) if dep.startswith(f"{out}/")]
            files += inside or [out if Path(out).suffix else f"{out}/part"]
        (folder / "outs" / name.replace("/", "_")).write_text("\n".join(files))
    (folder / "failing").write_text("")
    project.run("git", "add", "-A")
    return project


def run(project: Project, *command: str, folder: Path | None = None) -> str:
    path = f"{project.path.parent / 'bin'}:{project.environment['PATH']}"
    done = subprocess.run(
        command, cwd=folder or project.path, env=project.environment | {"PATH": path}, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def changed(project: Project) -> set[str]:
    """Return the paths that git would add, all of them."""
    project.run("git", "add", "-A")
    return {line[3:] for line in project.run("git", "status", "--short", "-uall").stdout.splitlines()}


def test_git_ignores_every_output_of_the_graph_and_no_file_of_a_person():
    assert len(OUTS) > 100
    asked = "\n".join([*OUTS, "data/raw/queries.csv", "data/raw/.gitkeep", "params.yaml"])
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"], cwd=ROOT, input=asked, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == set(OUTS)


@pytest.mark.slow
def test_a_failed_run_puts_nothing_into_git_and_the_next_goes_on(quick):
    folder = quick.path.parent
    for failing in ("params", "critique@sft", "render_eval@test-sft"):
        (folder / "failing").write_text(failing)
        assert f"failed to reproduce '{failing}'" in run(quick, "dvc", "repro")
        assert changed(quick) <= {"dvc.lock"}, failing
    (folder / "failing").write_text("")
    assert "failed" not in run(quick, "dvc", "repro")
    assert changed(quick) == {"dvc.lock"}
    quick.run("git", "commit", "-qm", "run")
    assert "up to date" in run(quick, "dvc", "status")
    before = (folder / "ran").read_text().count("\n")
    assert "Ran experiment" in run(quick, "dvc", "exp", "run", "-S", "dpo.reward_gap=0.2")
    assert (folder / "ran").read_text().count("\n") > before
    assert changed(quick) == {"dvc.lock", "params.yaml"}
    quick.run("git", "commit", "-qm", "experiment")


@pytest.mark.slow
def test_the_run_cache_brings_back_every_stage_where_no_lock_is(quick, tmp_path):
    run(quick, "dvc", "repro")
    run(quick, "dvc", "remote", "add", "-d", "-f", "there", str(tmp_path / "remote"))
    quick.run("git", "add", "-A")
    quick.run("git", "commit", "-qm", "remote")
    run(quick, "dvc", "push", "--run-cache")
    clone = quick.path.parent / "clone"
    quick.run("git", "clone", "-q", ".", str(clone))
    (clone / "dvc.lock").unlink()
    before = (quick.path.parent / "ran").read_text()
    run(quick, "dvc", "pull", "--run-cache", folder=clone)
    told = run(quick, "dvc", "repro", "--pull", folder=clone)
    assert (quick.path.parent / "ran").read_text() == before, told
    assert told.count("is cached - skipping run") == len(read_graph(quick.path).stages)
    assert (clone / "results/evaluate.json").read_bytes() == (quick.path / "results/evaluate.json").read_bytes()
