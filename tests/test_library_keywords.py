"""Every keyword that we hand to PyAV, TRL, diffusers, datasets and peft is one that the installed version takes.

Our sources are read, not run: a renamed argument shows in seconds, on every Python. A callable of Python is asked for
its signature, and for what it takes out of `**kwargs` by name; compiled PyAV has none, and is read in its stubs.
"""

import ast
import importlib
import importlib.util
import inspect
import textwrap
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
OBJECTS = {
    "av": (),
    "trl": ("SFTTrainer", "DPOTrainer"),
    "diffusers": ("DiffusionPipeline", "ModelMixin", "ConfigMixin"),
    "datasets": ("Dataset",),
    "peft": ("PeftModel", "LoraModel"),
}
"""Library -> the classes whose methods its objects in our code may have; PyAV's are all in its stubs."""
PASSED_ON = {"set_progress_bar_config": "tqdm.tqdm.__init__"}
"""Method that takes any keyword -> what it hands them to."""
SOURCES = sorted(path for room in ("pipeline", "train", "vpo", "bench") for path in (ROOT / room).rglob("*.py"))


class LibraryCall(NamedTuple):
    """A call in our code: of `av.open`, or of a method `.encode` of some object in a file that imports a library."""

    name: str
    keywords: frozenset[str]
    line: int


class Reader(ast.NodeVisitor):
    """Collects the calls of one source file that may go to a library."""

    def __init__(self, source: str):
        self.names: dict[str, str] = {}
        self.within: list[ast.FunctionDef] = []
        self.calls: list[LibraryCall] = []
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.names |= {alias.asname or alias.name.partition(".")[0]: alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                self.names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        self.libraries = sorted({name.partition(".")[0] for name in self.names.values()} & set(OBJECTS))
        if self.libraries:
            self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.within.append(node)
        self.generic_visit(node)
        self.within.pop()

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        keywords = frozenset().union(*({one.arg} if one.arg else self.mapping(one.value) for one in node.keywords))
        name = self.dotted(node.func)
        if keywords and (name.startswith(".") or name.partition(".")[0] in OBJECTS):
            self.calls.append(LibraryCall(name, keywords, node.lineno))

    def dotted(self, node: ast.expr) -> str:
        """Return `av.open` for a part of what is imported, `.open` for a name or an attribute of anything else."""
        if isinstance(node, ast.Name):  # `reformat = VideoReformatter().reformat` is called by its bare name
            return self.names.get(node.id, f".{node.id}")
        if not isinstance(node, ast.Attribute):
            return ""
        owner = self.dotted(node.value)
        return f".{node.attr}" if not owner or owner.startswith(".") else f"{owner}.{node.attr}"

    def mapping(self, node: ast.expr, outer: frozenset[str] = frozenset()) -> set[str]:
        """Return the keys of `**node` that are written out: in a dict, in what a name is given, in what is returned."""
        if isinstance(node, ast.Dict):
            return {key.value for key in node.keys if isinstance(key, ast.Constant)}
        if isinstance(node, ast.BinOp):
            return self.mapping(node.left, outer) | self.mapping(node.right, outer)
        values = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in outer:
            outer |= {node.func.id}
            returns = [part for made in our_functions().get(node.func.id, ()) for part in ast.walk(made)]
            values = [part.value for part in returns if isinstance(part, ast.Return) and part.value]
        elif isinstance(node, ast.Name) and self.within and node.id not in outer:
            outer |= {node.id}
            for part in ast.walk(self.within[-1]):
                targets = part.targets if isinstance(part, ast.Assign) else [getattr(part, "target", None)]
                if any(isinstance(target, ast.Name) and target.id == node.id for target in targets):
                    values += [part.value] if isinstance(part, (ast.Assign, ast.AugAssign)) else []
        return set().union(*(self.mapping(value, outer) for value in values))


@cache
def our_functions() -> dict[str, list[ast.FunctionDef]]:
    """Return the functions of our sources by name."""
    functions = defaultdict(list)
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                functions[node.name].append(node)
    return functions


@cache
def av_stubs() -> dict[str, set[str]]:
    """Return the arguments of each function, method and class of the installed PyAV by its bare name."""
    arguments = defaultdict(set)
    for path in Path(importlib.util.find_spec("av").origin).parent.rglob("*.pyi"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                made = [part for part in node.body if getattr(part, "name", "") == "__init__"]
                arguments[node.name].update(*map(argument_names, made))
            elif isinstance(node, ast.FunctionDef):
                arguments[node.name] |= argument_names(node)
    return arguments


def argument_names(node: ast.FunctionDef) -> set[str]:
    return {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}


def accepted(library: str, name: str) -> set[str] | None:
    """Return the keywords that a call may have, None where it does not go to the library."""
    bare = name.rpartition(".")[2]
    if library == "av":
        return av_stubs().get(bare) if name.startswith((".", "av.")) else None
    if name.startswith(f"{library}."):
        return taken(resolve(name))
    if not name.startswith("."):
        return None
    methods = [getattr(resolve(f"{library}.{owner}"), bare, None) for owner in OBJECTS[library]]
    if not any(methods):
        return None
    names = set().union(*(taken(method) for method in methods if method))
    if bare in PASSED_ON:
        names |= taken(resolve(PASSED_ON[bare]))
    if library == "diffusers" and bare == "from_pretrained":  # a pipeline's parts may be handed in by their names
        names = names.union(*(taken(resolve(f"diffusers.{facts.pipeline}")) for facts in models().values()))
    return names


def taken(function: Callable) -> set[str]:
    """Return the arguments of a function or class, and what it takes out of its `**kwargs` by name."""
    parameters = inspect.signature(function).parameters.values()
    names = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    for rest in (one.name for one in parameters if one.kind is one.VAR_KEYWORD):
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (f"{rest}.pop", f"{rest}.get"):
                names |= {argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return names


def resolve(name: str):
    """Return the object of a dotted name; a module within a package is imported."""
    head, *parts = name.split(".")
    value = importlib.import_module(head)
    for part in parts:
        if not hasattr(value, part):
            importlib.import_module(f"{value.__name__}.{part}")
        value = getattr(value, part)
    return value


def models() -> dict:
    from pipeline.backends.renderer.facts import MODELS

    return MODELS


def strangers(source: str, checked: set[str] | None = None) -> Iterator[str]:
    """Yield each keyword that no installed library takes, as `line 3: av.open has no colour`."""
    reader = Reader(source)
    for call in reader.calls:
        for library in reader.libraries:
            names = accepted(library, call.name)
            if names is None:
                continue
            if checked is not None:
                checked.add(call.name)
            for keyword in sorted(call.keywords - names):
                yield f"line {call.line}: {library}: {call.name} has no {keyword}"


def test_every_keyword_is_one_that_the_installed_libraries_take():
    checked: set[str] = set()
    wrong = [f"{path.relative_to(ROOT)}, {what}" for path in SOURCES for what in strangers(path.read_text(), checked)]
    assert wrong == []
    # what the test is for must be among what it looked at
    assert checked >= {"av.open", ".add_stream", ".reformat", "trl.SFTConfig", "trl.DPOConfig", "trl.DPOTrainer"}
    assert checked >= {"datasets.load_dataset", "peft.LoraConfig", ".from_pretrained", ".enable_group_offload"}


@pytest.mark.parametrize(
    "source",
    [
        "import av\nav.open(b'', colour='red')",
        "import av\nwith av.open(b'') as file: file.add_stream('h264', colour='red')",
        "def f():\n from av.video.reformatter import VideoReformatter as V\n V().reformat(frame, colour='red')",
        "from trl import DPOConfig\nDPOConfig(beta=0.1, colour='red')",
        "from trl import SFTConfig\ndef f():\n told = {'bf16': True}\n told |= {'colour': 1}\n SFTConfig(**told)",
        "from datasets import load_dataset\nload_dataset('a', revision='b', colour='red')",
        "import diffusers\ngetattr(diffusers, 'A').from_pretrained('b', revision='c', colour='red')",
    ],
    ids=["open", "method", "bound method", "config", "mapping", "datasets", "pretrained"],
)
def test_a_keyword_that_a_library_does_not_take_is_named(source):
    (wrong,) = strangers(source)
    assert wrong.endswith(" has no colour")


@pytest.mark.parametrize("name", models())
def test_each_pipeline_of_diffusers_takes_what_the_renderer_hands_it(name):
    import diffusers

    from pipeline.backends.renderer.diffusers import Diffusers

    facts = models()[name]
    settings = {**vars(facts), "num_frames": facts.n_frames}
    handed = Diffusers.arguments.fget(SimpleNamespace(settings=settings, resolved=SimpleNamespace(facts=facts)))
    tree = ast.parse(textwrap.dedent(inspect.getsource(Diffusers.pictures)))
    written = {
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pipeline"
        for keyword in node.keywords
        if keyword.arg
    }
    assert "prompt" in written
    pipeline = getattr(diffusers, facts.pipeline)
    assert (written | set(handed)) - taken(pipeline.__call__) == set()
    if facts.scheduler:
        assert set(facts.scheduler_config) - taken(getattr(diffusers, facts.scheduler)) == set()
