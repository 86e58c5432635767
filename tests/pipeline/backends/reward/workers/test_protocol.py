import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.backends.reward.workers import visionreward

FOLDER = Path(visionreward.__file__).parent


SCRIPTS = ("protocol", "visionreward", "videoalign")


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
