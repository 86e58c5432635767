import ast
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.runtime.fingerprint import PACKAGES, code_of, imports, modules_of, stage_modules, syntax_hash

SOURCE = '''"""A module."""

import os


def double(x: int, *, by=2) -> int:
    """Return it doubled."""
    return x * by  # twice


class Box:
    """Holds."""

    size: int = 3
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another."""'),
        ('    """Return it doubled."""\n', ""),
        ("  # twice", ""),
        ("x * by", "(x\n            * by)"),
        ('    """Holds."""\n', "    '''Keeps.'''\n"),
    ],
)
def test_prose_and_layout_do_not_count(old, new):
    assert old in SOURCE
    assert syntax_hash(SOURCE.replace(old, new)) == syntax_hash(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x * by", "x + by"),
        ("by=2", "by=3"),
        ("size: int = 3", "size: int = 3.0"),
        ("size: int = 3", 'size: int = "3"'),
        ("import os", "import sys"),
        ("*, by", "by"),
        ("return x * by", 'return f"{x}"'),
    ],
)
def test_what_python_does_counts(old, new):
    assert old in SOURCE
    assert syntax_hash(SOURCE.replace(old, new)) != syntax_hash(SOURCE)


def test_a_string_that_is_no_docstring_counts():
    assert syntax_hash("x = 1\n'a'\n") != syntax_hash("x = 1\n'b'\n")


def test_parts_do_not_run_together():
    assert syntax_hash("f(a, b)") != syntax_hash("f(a)(b)")
    assert syntax_hash("[a, [b]]") != syntax_hash("[a, b]")


def other_pythons() -> list[str]:
    names = [f"python3.{minor}" for minor in (11, 12, 13, 14)]
    folders = [*os.environ["PATH"].split(os.pathsep), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]
    runs = []
    for name in names:
        path = shutil.which(name, path=os.pathsep.join(folder for folder in folders if "shims" not in folder))
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            runs.append(path)
    return runs


@pytest.mark.slow
def test_the_hash_is_the_same_on_every_python_at_hand(root):
    """Walks all our modules in each interpreter; fingerprint itself needs pydantic, so its two functions are lent."""
    text = (root / "pipeline/runtime/fingerprint.py").read_text()
    start, end = text.index("def syntax_hash"), text.index("def is_carrier")
    code = (
        "import ast, hashlib, sys\nfrom collections.abc import Iterator\nfrom pathlib import Path\n" + text[start:end]
    )
    code += "for path in sorted(p for f in ('schemas', 'pipeline', 'train') for p in Path(f).rglob('*.py')):\n"
    code += "    print(path, syntax_hash(path.read_text()))\n"
    printed = {
        path: subprocess.run([path, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
        for path in other_pythons()
    }
    assert printed and len(set(printed.values())) == 1, {path: len(text) for path, text in printed.items()}


def test_what_a_stage_imports_is_followed_into_functions(tmp_path):
    for name, text in {
        "pipeline/a.py": "def f():\n    from pipeline.room import b\n",
        "pipeline/room/__init__.py": "from pipeline.room.c import x\n",
        "pipeline/room/b.py": "from pipeline.runtime.io import read\n",
        "pipeline/room/c.py": "x = 1\n",
        "pipeline/runtime/io.py": "from pipeline.room import d\n",
        "pipeline/room/d.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    expected = ["pipeline/a.py", "pipeline/room/__init__.py", "pipeline/room/b.py", "pipeline/room/c.py"]
    assert modules_of(tmp_path, "pipeline/a.py") == expected
    assert list(code_of(tmp_path, "pipeline/a.py")) == expected
    assert imports(tmp_path, "pipeline/room/b.py") == ("pipeline/runtime/io.py",)


def code_by_stage(root: Path) -> dict[str, dict[str, str]]:
    return {module: code_of(root, module) for module in stage_modules(root)}


def copied(root: Path, folder: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def with_more_prose(source: str) -> str:
    """Add a word to every docstring and a comment to the end."""
    lines = source.splitlines(keepends=True)
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and ast.get_docstring(node):
            number = node.body[0].lineno - 1
            lines[number] = lines[number].replace('"""', '"""Prose. ', 1)
    return "".join([*lines, "\n# a comment\n"])


LINES = ("pipeline/llm/calls/limits.py", "pipeline/runtime/io.py", "pipeline/critique.py", "train/sft.py")


@pytest.fixture(scope="module")
def changed_code(root, tmp_path_factory):
    """Stage -> its files whose hash is another after more prose in all our files and a line of code in LINES."""
    copy = copied(root, tmp_path_factory.mktemp("copy"))
    for path in sorted(copy.rglob("*.py")):
        source = path.read_text()
        prose = with_more_prose(source)
        assert "Prose. " in prose or not source
        path.write_text(prose + "\nANSWER = 42\n" * (path.relative_to(copy).as_posix() in LINES))
    before, after = code_by_stage(root), code_by_stage(copy)
    assert before.keys() == after.keys()
    return {
        stage: {
            file for file in before[stage].keys() | after[stage] if before[stage].get(file) != after[stage].get(file)
        }
        for stage in before
    }


def test_prose_changes_the_code_of_no_stage(changed_code):
    assert set().union(*changed_code.values()) <= set(LINES)


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("pipeline/llm/calls/limits.py", []),
        ("pipeline/runtime/io.py", []),
        ("pipeline/critique.py", ["pipeline/critique.py"]),
        ("train/sft.py", ["train/sft.py"]),
    ],
)
def test_a_line_of_code_changes_the_stages_that_it_shapes(changed_code, file, stages):
    assert [stage for stage, files in changed_code.items() if file in files] == stages


def test_a_stage_is_a_module_at_the_top_that_has_a_command(tmp_path):
    for name, text in {
        "pipeline/__main__.py": "def main(): ...\n",
        "pipeline/critique.py": "@click.command()\ndef main(): ...\n",
        "pipeline/shapes.py": "def other(): ...\n",
        "pipeline/llm/rounds.py": "def main(): ...\n",
        "train/sft.py": "def main(): ...\n",
        "schemas/base.py": "def main(): ...\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert stage_modules(tmp_path) == ["pipeline/critique.py", "train/sft.py"]
