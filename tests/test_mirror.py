"""tests/ is the same tree as the code: tests/<path>/test_<module>.py tests <path>/<module>.py."""

import ast
from pathlib import Path

import pytest

from docs.house import PACKAGES, ROOT, modules, room_of, tree_of

ALL = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "tests").rglob("test_*.py"))]
# a test at the top is about the tree as a whole; helpers that have tests lie beside them
MIRRORED = [test for test in ALL if test.count("/") > 1 and not test.startswith("tests/support/")]

OF_NO_MODULE = {
    "tests/train/test_losses.py": "SFT and DPO against a reference by hand, step by step",
    "tests/train/test_zero3.py": "SFT and DPO on two processes",
}
"""Test files that stand for several modules -> why they are one."""

NO_TEST = {
    "schemas/seams.py": "shapes and Protocols; each backend's test is theirs",
}
"""Modules without tests -> why."""


def own_test(module: str) -> str:
    """Return the test file of a module; a package's own code is tested under the package's name, beside its folder."""
    path = Path(module)
    if path.name == "__init__.py":
        return f"tests/{path.parent.parent}/test_{path.parent.name}.py"
    return f"tests/{path.parent}/test_{path.name}"


def modules_of_test(test: str) -> list[str]:
    """Return the paths that a test's name may stand for: test_queries_hostile.py is of queries.py too."""
    folder, stem = Path(test).parent.relative_to("tests"), Path(test).stem.removeprefix("test_")
    words = stem.split("_")
    stems = {"_".join(words[:count]) for count in range(1, len(words) + 1)} | {stem}
    return [f"{folder}/{one}{end}" for one in sorted(stems) for end in (".py", "/__init__.py")]


def has_logic(module: str) -> bool:
    """Return whether a module has a function with a body; a Protocol's `...` is none."""
    for node in ast.walk(tree_of(ROOT / module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            constants = [isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) for one in node.body]
            if not all(constants):
                return True
    return False


def test_every_test_file_belongs_to_a_module():
    tests = [test for test in MIRRORED if test not in OF_NO_MODULE]
    assert [test for test in tests if not any((ROOT / module).is_file() for module in modules_of_test(test))] == []


@pytest.mark.parametrize("room", sorted({room_of(module) for module in modules()}))
def test_every_module_with_logic_has_its_test_file(room):
    with_test = {module for test in MIRRORED if test not in OF_NO_MODULE for module in modules_of_test(test)}
    lacking = [
        module
        for module in modules()
        if room_of(module) == room and has_logic(module) and module not in {*with_test, *NO_TEST}
    ]
    assert lacking == [], f"write {[own_test(module) for module in lacking]}"


@pytest.mark.parametrize("name", [*OF_NO_MODULE, *NO_TEST])
def test_an_exception_is_still_one(name):
    assert (ROOT / name).is_file()
    if name in NO_TEST:
        assert not (ROOT / own_test(name)).exists()
    else:
        assert not any((ROOT / module).is_file() for module in modules_of_test(name))


def test_bench_is_mirrored_too():
    """What only measures has no tests; one that has is called after its module."""
    tests = [test for test in ALL if test.startswith("tests/bench/")]
    assert tests and all(any((ROOT / module).is_file() for module in modules_of_test(test)) for test in tests)


def test_helpers_lie_in_support():
    """Everything under tests/ that is no test, no fixture and no data is a helper."""
    files = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("*.py")}
    helpers = {
        name
        for name in files
        if not name.startswith("support/") and not Path(name).name.startswith(("test_", "conftest", "__init__"))
    }
    assert helpers == set()
    assert {*PACKAGES} <= {path.name for path in (ROOT / "tests").iterdir()}
