"""The house rules as tests."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bench.named_faults import FAULTS
from pipeline.params import named_paths
from pipeline.runtime.fingerprint import imports, stage_modules
from schemas.params import Params
from schemas.section import section_classes
from schemas.stage import row_classes
from tests.support.project import listed_params
from vpo.graph import read_graph

ROOT = Path(__file__).resolve().parents[1]
GRAPH = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())
ENTRIES = read_graph(ROOT).entries
STAGES = {name: written.get("do", written) for name, written in GRAPH["stages"].items()}
# the same module once more for the arms that are compared or trained beside dpo, or for what the text check refused
OTHER_LANE = re.compile(r"_(eval|arm|unchecked)$")
NO_ROW = {"params", "arm", "base_model", "sft", "dpo", "package"}
CODE = sorted(path for folder in ("schemas", "pipeline", "train", "vpo") for path in (ROOT / folder).rglob("*.py"))
VPO = [path for path in CODE if path.is_relative_to(ROOT / "vpo")]
# a process of its own, which a test starts
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path.name != "zero3_shim.py")
# where a stage runs, how fast, and what it may spend never shape its rows
NEVER_DEPS = {
    "max_concurrency", "api_key_env", "api_version", "timeout_s", "attempts", "requests_per_minute",
    "tokens_per_minute", "usd_per_million_input_tokens", "usd_per_million_output_tokens", "budget_usd", "mode",
    "launch", "batch_size", "offload", "poll_s", "usd_per_clip", "worker", "checkpoint_s", "report_to",
    "stop_share", "stop_after",
}  # fmt: skip


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


def own_names():
    return sorted({OTHER_LANE.sub("", name) for name in STAGES})


@pytest.mark.parametrize("name", own_names())
def test_a_stage_has_its_code_row_and_test_by_its_name(name):
    module = ENTRIES[name].code_file
    assert (ROOT / module).is_file()
    assert name in NO_ROW or name in row_classes()
    folder = module.split("/")[0]
    assert (ROOT / "tests" / folder / f"test_{name}.py").is_file()


@pytest.mark.parametrize("name", STAGES)
def test_paths_in_a_command_are_its_deps_and_outs(name):
    stage = STAGES[name]
    listed = {str(item) for item in stage.get("deps", [])} | {
        str(next(iter(out))) if isinstance(out, dict) else out for out in stage["outs"]
    }
    for word in stage["cmd"].split()[4:]:
        if "/" in word:
            # a folder may stand for the files that it reads there
            assert word in listed or any(item.startswith(f"{word}/") for item in listed), f"{name}: {word}"


@pytest.mark.parametrize("name", STAGES)
def test_no_value_of_a_param_is_pasted_into_a_shell(name):
    pasted = set(re.findall(r"\$\{([^}]+)\}", STAGES[name]["cmd"]))
    if axes := GRAPH["stages"][name].get("matrix"):  # over mappings, of which DVC gives the keys
        assert pasted <= {f"item.{axis}" for axis in axes}
        return
    assert pasted <= {"key", "item", "item.split", "item.prompts", "item.model", "item.instead"}
    if str(GRAPH["stages"][name].get("foreach", "")).startswith("${"):
        assert pasted <= {"key"}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_code_as_the_gate_writes_it_and_on_no_other(name):
    deps, module = STAGES[name]["deps"], ENTRIES[name].code_file
    assert module in stage_modules(ROOT)
    if name == "params":
        assert {"pipeline", "schemas", "train"} <= {*deps}
    else:
        assert [dep for dep in deps if dep.startswith("data/code/")] == [f"data/code/{Path(module).stem}.json"]
        assert not [dep for dep in deps if dep.endswith(".py")]


def test_each_stage_has_code_under_a_name_of_its_own():
    modules = stage_modules(ROOT)
    assert len({Path(module).stem for module in modules}) == len(modules)
    assert {*modules} == {entry.code_file for entry in ENTRIES.values()}


@pytest.mark.parametrize("name", STAGES)
def test_the_gate_alone_depends_on_all_of_what_a_person_brings(name, laptop):
    deps = STAGES[name]["deps"]
    assert ("data/raw" in deps) == (name == "params")
    assert {dep for dep in deps if dep.startswith("data/files/")} <= {
        f"data/files/{section}.json" for section in named_paths(laptop)
    }


@pytest.mark.parametrize("name", STAGES)
def test_listed_params_exist_and_shape_the_result(name):
    for key in listed_params(STAGES[name]):
        if "${" in key or key == "params.yaml":
            continue
        sections = [Params]
        for part in key.split("."):
            fields = [section.model_fields[part] for section in sections if part in section.model_fields]
            assert fields, f"{name}: {key}"
            sections = [kind for field in fields for kind in section_classes(field.annotation)]
        assert key.split(".")[-1] not in NEVER_DEPS


ALLOWED = {
    "schemas": {"schemas"},
    "pipeline": {"schemas", "pipeline"},
    "train": {"schemas", "pipeline", "train"},
    "vpo": {"schemas", "pipeline", "train", "vpo"},
}


def imported(node):
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def test_layers_hold():
    for path in CODE:
        mine = path.relative_to(ROOT).parts[0]
        for name in (name for node in ast.walk(tree_of(path)) for name in imported(node)):
            if name.split(".")[0] in ALLOWED:
                assert name.split(".")[0] in ALLOWED[mine], f"{path.relative_to(ROOT)} imports {name}"


def asks_for_a_backend_by_name(node):
    """Tell whether code compares something called `backend`, or how it starts, with a name of its own."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "startswith":
        sides = [node.func.value]
    else:
        return False
    return any(getattr(side, "attr", getattr(side, "id", "")) == "backend" for side in sides)


SEAM_FOLDERS = ("schemas", "pipeline/backends")


def test_nobody_outside_the_seams_asks_for_a_backends_name():
    """What a backend needs stands in its params class (schemas/needs.py); a name asked elsewhere is a fourth place."""
    for path in CODE:
        if not str(path.relative_to(ROOT)).startswith(SEAM_FOLDERS):
            lines = [node.lineno for node in ast.walk(tree_of(path)) if asks_for_a_backend_by_name(node)]
            assert not lines, f"{path.relative_to(ROOT)}: lines {lines}"


def test_a_question_for_a_backends_name_is_noticed():
    for code in ("params.render.backend == 'http'", "backend in NAMES", "row.by.backend.startswith('offline')"):
        assert any(asks_for_a_backend_by_name(node) for node in ast.walk(ast.parse(code))), code
    assert not any(asks_for_a_backend_by_name(node) for node in ast.walk(ast.parse("MAKERS[params.backend](params)")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_bench_wiring_plants_fits_the_code_once(fault):
    assert (ROOT / fault.file).read_text().count(fault.old) == 1


def strings(path):
    """The strings of a file that are no docstrings."""
    prose = {id(node.value) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Expr)}
    nodes = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant) and id(node) not in prose)
    return [node.value for node in nodes if isinstance(node.value, str)]


@pytest.mark.parametrize("path", VPO, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_path_of_the_data_is_written_in_vpo(path):
    """They all follow from the graph, so that another graph's are known as well."""
    assert [text for text in strings(path) if re.search(r"(?<![\w.])data/\w", text)] == []


def test_the_graph_is_read_in_one_place():
    assert [path.name for path in VPO if any("dvc.yaml" in text for text in strings(path) if " " not in text)] == [
        "graph.py", "project.py",
    ]  # fmt: skip


def test_stages_do_not_import_each_other():
    modules = {entry.code_file for entry in ENTRIES.values()}
    for module in modules:
        assert not (set(imports(ROOT, module)) & modules - {module}), module


def test_the_door_opens_exactly_the_graphs_stages():
    from pipeline.__main__ import STAGES as door

    listed = {entry.module for entry in ENTRIES.values() if entry.package == "pipeline"}
    assert door == sorted(listed)


def test_names_say_what_they_are():
    assert [path for path in CODE if re.search(r"(utils?|helpers?|manager|_v2|_node)$|^new_", path.stem)] == []


def test_every_module_says_what_it_is():
    assert [path for path in CODE if path.stat().st_size and not ast.get_docstring(tree_of(path))] == []


def test_importing_every_light_module_loads_nothing_heavy():
    heavy = "torch transformers trl datasets diffusers duckdb pyarrow av matplotlib openai polars pandas ray".split()
    names = [str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in CODE]
    names = [name.removesuffix(".__init__") for name in names]
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_test_file_loads_torch_when_it_is_read():
    """Each process of a test run reads every file; only those that run its tests should pay for torch.

    Nor DuckDB: conftest freezes what is loaded by then, and DuckDB's binding would report it as leaks at the end.
    """
    heavy = {"torch", "transformers", "safetensors", "diffusers", "trl", "duckdb"}
    for path in TESTS:
        names = {name.split(".")[0] for node in tree_of(path).body for name in imported(node)}
        assert not names & heavy, path.relative_to(ROOT)


def test_conftest_and_the_makefile_name_the_same_plain_tier(pytestconfig):
    """conftest shares out the tests of the tier that the Makefile runs first; another word there would undo it."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    assert f'-m "{conftest.PLAIN}"' in (ROOT / "Makefile").read_text()


def test_the_repository_holds_no_path_of_a_machine():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in tracked:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".jinja", ".jsonl", ".json"} and path.is_file():
            found = re.search(r"(?<![\w.])/(work|home/\w+|Users/\w+)/\w", path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found[0]}"


def test_a_shell_without_the_environment_is_told_what_to_do(tmp_path):
    """Outside the environment `dvc repro` may run a Python that has the standard library alone."""
    for package in ("pipeline", "train"):
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); "
             f"sys.argv = ['x']; runpy.run_module('{package}', run_name='__main__')"],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "source .venv/bin/activate" in done.stderr and "Traceback" not in done.stderr
