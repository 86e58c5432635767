"""What the planter counts as noticed: a red test, of the mirror or of the graph; no run that breaks off by itself."""

import subprocess

import pytest

from bench.faults import Planted
from bench.planting import Copy, Outcome, judge

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]

CODE = "def double(n):\n    return 2 * n\n"
FAULT = Planted("thrice", "doubling.py", CODE.replace("2", "3").encode(), ("tests/test_code.py",), 2)
GREEN = "def test_of_one():\n    assert 1\n"
FAULTY = "from doubling import double\nfaulty = double(2) == 6\n"


@pytest.fixture
def project(tmp_path):
    """Make a project of one module from the texts of its test files."""

    def make(**tests):
        root = tmp_path / "root"
        (root / "tests").mkdir(parents=True)
        (root / "doubling.py").write_text(CODE)
        for name, text in tests.items():
            (root / f"tests/{name}.py").write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        return Copy(root, tmp_path / "copy")

    return make


def test_a_fault_that_its_mirror_misses_is_asked_of_the_graph(project):
    graph = FAULTY + "import pytest\n@pytest.mark.graph\ndef test_of_graph():\n    assert not faulty\n"
    copy = project(test_code=GREEN, test_graph=graph)
    assert judge(copy, FAULT, ["tests/test_graph.py"]) == Outcome("tests/test_graph.py::test_of_graph")
    assert judge(copy, FAULT, []) == Outcome(None)
    sound = FAULT._replace(source=CODE.encode())
    assert judge(copy, sound, ["tests/test_graph.py"]) == Outcome(None)


def test_the_first_red_test_of_the_mirror_ends_the_questions(project):
    copy = project(test_code=FAULTY + "def test_of_two():\n    assert not faulty\n", test_graph="1 / 0")
    assert judge(copy, FAULT, ["tests/test_graph.py"]) == Outcome("tests/test_code.py::test_of_two")
    assert copy.red_without_fault(["tests/test_code.py::test_of_two"]) == set()
    assert (copy.folder / "doubling.py").read_text() == CODE


LEAVE = "import os, pathlib\ndef test_of_end():\n    if {when}:\n        os._exit(3)\n"


@pytest.mark.parametrize(
    ("when", "outcome"),
    [
        ("faulty", Outcome("the run did not end, twice, and not without the fault")),
        ("True", Outcome(None, "the run did not end; without the fault: the run did not end")),
        (
            "faulty and not os.path.exists('left') and pathlib.Path('left').write_text('1')",
            Outcome(None, "the run did not end; the same run again was green"),
        ),
    ],
)
def test_a_run_that_breaks_off_counts_where_the_fault_alone_breaks_it(project, when, outcome):
    assert judge(project(test_code=FAULTY + LEAVE.format(when=when)), FAULT, []) == outcome


def test_a_fault_whose_tests_are_missing_is_not_judged(project):
    assert judge(project(), FAULT, []).unjudged.startswith("pytest ended with 4; without the fault: pytest ended with")


def test_a_test_that_is_red_anyway_is_named(project):
    copy = project(test_code="def test_of_zero():\n    assert 0\n" + GREEN)
    reds = ["tests/test_code.py::test_of_zero", "tests/test_code.py::test_of_one"]
    assert copy.red_without_fault(reds) == {reds[0]}
