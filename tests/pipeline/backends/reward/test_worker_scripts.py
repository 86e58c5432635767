import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.backends.reward.workers import visionreward
from pipeline.backends.reward.workers.videoalign import refuse_other_code, with_values, with_z_scores

FOLDER = Path(visionreward.__file__).parent
SCRIPTS = ("protocol", "visionreward", "videoalign")


@pytest.fixture
def checkout(tmp_path):
    """Return (folder, commit) of a git repository with one file."""

    def git(*words):
        name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        done = subprocess.run(["git", *name, "-C", tmp_path, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    (tmp_path / "inference.py").write_text("1\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    return tmp_path, git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_on_the_old_python_of_its_environment(name):
    ast.parse((FOLDER / f"{name}.py").read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_imports_the_standard_library_alone_until_it_loads(name):
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    names = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert names and {name.split(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize("name", ["visionreward", "videoalign"])
def test_a_script_tells_its_options_without_its_environment(name):
    done = subprocess.run([sys.executable, "-I", FOLDER / f"{name}.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "as a worker" in done.stdout


def test_code_that_is_not_as_recorded_is_named(tmp_path):
    (tmp_path / "modeling.py").write_text("1\n")
    (tmp_path / "visual.py").write_text("2\n")
    recorded = visionreward.code_hashes(tmp_path)
    assert visionreward.differing(visionreward.code_hashes(tmp_path), recorded) == []
    (tmp_path / "visual.py").write_text("3\n")
    (tmp_path / "util.py").write_text("4\n")
    (tmp_path / "modeling.py").unlink()
    changed = visionreward.differing(visionreward.code_hashes(tmp_path), recorded)
    assert changed == ["modeling.py", "util.py", "visual.py"]


def test_code_of_another_repository_is_named(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["tok.Tok", None]}}))
    (tmp_path / "index.json").write_text("[]")
    assert visionreward.code_from_elsewhere(tmp_path) == []
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "them/other--modeling.Model"}}))
    assert visionreward.code_from_elsewhere(tmp_path) == ["config.json: them/other--modeling.Model"]


def test_the_checkout_must_stand_at_its_commit_unchanged(checkout):
    folder, commit = checkout
    refuse_other_code(str(folder), commit)
    with pytest.raises(SystemExit, match=f"stands at {commit}, not at {'0' * 40}"):
        refuse_other_code(str(folder), "0" * 40)
    (folder / "data.py").write_text("2\n")
    with pytest.raises(SystemExit, match="was changed: .* data.py"):
        refuse_other_code(str(folder), commit)


def test_z_scores_stand_beside_the_raw_values():
    norm = {"VQ_mean": 1.0, "VQ_std": 2.0, "MQ_mean": 0.0, "MQ_std": 0.5, "TA_mean": -1.0, "TA_std": 1.0}
    values = with_z_scores({"VQ": 2.0, "MQ": 1.0, "TA": -2.0, "Overall": 1.0}, norm)
    assert values == {"VQ": 2.0, "MQ": 1.0, "TA": -2.0, "VQ_z": 0.5, "MQ_z": 2.0, "TA_z": -1.0}


def test_a_value_that_is_fixed_wins_over_the_authors():
    assert with_values(dict, a=1)(a=2, b=3) == {"a": 1, "b": 3}
