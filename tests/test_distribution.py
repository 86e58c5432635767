"""What is built from the tree holds all that it needs: an sdist, a wheel made from it, and what that installs."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # two builds and an installation: seconds

PACKAGES = ("schemas", "pipeline", "train", "vpo")


def tracked(root: Path) -> list[str]:
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    return [name for name in done.stdout.splitlines() if (root / name).is_file()]


def run(*words: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Return the distribution that setuptools builds of a source folder, as pip would ask it to; no network."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    out.mkdir()
    run(sys.executable, "-c", code, cwd=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory, root):
    """The sdist of the tree, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in tracked(root):
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, folder / "tree" / name)
    with tarfile.open(build("sdist", folder / "tree", folder / "out")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (inside,) = (folder / "unpacked").iterdir()
    return inside


@pytest.fixture(scope="module")
def installed(tmp_path_factory, unpacked):
    """The folder that the wheel made from the sdist is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build("wheel", unpacked, folder / "out")
    install = ("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel))
    run(sys.executable, *install, cwd=folder)
    return folder / "site"


def test_the_sdist_holds_the_checkout(unpacked, root):
    left_out = {name for name in tracked(root) if not (unpacked / name).is_file()}
    assert {name for name in left_out if not name.startswith((".ci/", ".git"))} == set()


def test_the_wheel_holds_every_file_of_its_packages(installed, root):
    wanted = [name for name in tracked(root) if name.split("/")[0] in PACKAGES]
    assert {Path(name).suffix for name in wanted} >= {".py", ".jinja", ".jsonl", ".txt", ".yaml"}
    assert [name for name in wanted if not (installed / name).is_file()] == []


def test_the_wheel_brings_what_a_project_begins_with(installed, root):
    names = ["dvc.yaml", "params.yaml", *(f"recipes/{path.name}" for path in (root / "recipes").glob("*.yaml"))]
    for name in names:
        assert (installed / "share/vpo" / name).read_bytes() == (root / name).read_bytes(), name


def test_the_wheel_holds_nothing_of_tests_bench_docs_and_experiments(installed):
    assert {path.name for path in installed.iterdir()} & {"tests", "bench", "docs", "experiments", "site"} == set()


def test_what_is_installed_opens_its_doors(installed, tmp_path):
    env = {"PYTHONPATH": str(installed)}
    place = run(sys.executable, "-c", "import vpo; print(vpo.__file__)", cwd=tmp_path, **env)
    assert place.startswith(str(installed))
    assert "publish" in run(sys.executable, "-m", "vpo", "--help", cwd=tmp_path, **env)
    assert "critique" in run(sys.executable, "-m", "pipeline", "--help", cwd=tmp_path, **env)
    assert "dpo" in run(sys.executable, "-m", "train", "--help", cwd=tmp_path, **env)
    assert '"query_id"' in run(sys.executable, "-m", "vpo", "schema", "d_dpo", cwd=tmp_path, **env)
