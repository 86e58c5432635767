"""Every supported Python gets the same libraries."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.project import ROOT, TINY, Project

OTHERS = sorted({"3.11", "3.12", "3.13"} - {f"{sys.version_info[0]}.{sys.version_info[1]}"})
"""The supported Pythons beside the one that runs this."""


def pins(root) -> list[tuple[str, str]]:
    """Return (name, version) of each line of constraints.txt."""
    lines = (root / "constraints.txt").read_text().splitlines()
    return [re.match(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if not line.startswith("#")]


def test_each_library_is_pinned_once_for_all_pythons(root):
    assert len(pins(root)) > 100
    assert {name: times for name, times in Counter(name for name, _ in pins(root)).items() if times > 1} == {}


def test_what_the_project_asks_for_is_pinned_within_its_range(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {Requirement(text) for some in lists for text in some}
    versions = dict(pins(root))
    missing = [str(one) for one in wanted if one.name != "vpo" and canonicalize_name(one.name) not in versions]
    outside = [
        str(one)
        for one in wanted
        if one.name != "vpo" and not one.specifier.contains(versions[canonicalize_name(one.name)])
    ]
    assert missing == [] == outside


def interpreter(version: str) -> str:
    """Return the path of Python `version` on PATH or among pyenv's, else skip the test."""
    pyenv = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python{version}"), reverse=True)
    for path in (shutil.which(f"python{version}"), *map(str, pyenv)):
        # a shim of pyenv is on PATH also where it has no such Python
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    pytest.skip(f"no python{version} on PATH or among pyenv's")


@pytest.mark.nightly
@pytest.mark.parametrize("version", OTHERS)
def test_another_python_passes_the_plain_tier_and_runs_a_tiny_graph(version, tmp_path):
    """$VPO_VENV_313 and the like name a venv that is there already, with `.[test]` in it."""
    path = interpreter(version)
    project = Project(tmp_path / "project", tmp_path / "home", {})
    shutil.copyfile(ROOT / "params.yaml", project.path / "params.yaml")
    venv = Path(os.environ.get(f"VPO_VENV_{version.replace('.', '')}") or tmp_path / "venv")
    if not venv.is_dir():
        project.run(path, "-m", "venv", str(venv))
        project.run(str(venv / "bin/pip"), "install", "-q", "-e", ".[test]", "-c", "constraints.txt")
    around = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}"}
    python = str(venv / "bin/python")
    plain = re.search(r'-m "(not graph [^"]+)"', (ROOT / "Makefile").read_text())[1]
    shown = "import sys; print('{}.{}'.format(*sys.version_info))"
    assert project.run(python, "-c", shown, **around).stdout.strip() == version
    project.run(python, "-m", "pytest", "-n", "2", "--dist", "loadfile", "-m", plain, **around)
    project.set(TINY)
    project.run("dvc", "repro", **around)
    assert (project.path / "results/evaluate.md").stat().st_size > 0
    assert "Running stage" not in project.run("dvc", "repro", **around).stdout
    project.run(python, "-m", "vpo", "check", **around)
