"""Commands that the pages and the error texts print are commands: names, options and values of -S are taken."""

import ast
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from pipeline.runtime.params_file import check_params
from vpo.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "docs/architecture.md", "docs/dvc.md")
CODE = ("pipeline", "schemas", "train", "vpo", "experiments")
HOLE = "X"
"""stands where a message puts a value"""


def messages(path: Path) -> Iterator[str]:
    """Yield the texts of a module, those of f-strings whole, a HOLE for each value; of docstrings those of commands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        described = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if described and ast.get_docstring(node) and getattr(node, "name", "") != "main":
            node.body = node.body[1:]
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def printed() -> dict[str, str]:
    """Return each command in `backticks` or in a block of shell -> the first file that prints it."""
    commands: dict[str, str] = {}
    for name in PAGES:
        text = (ROOT / name).read_text(encoding="utf-8")
        blocks = re.findall(r"```sh\n(.*?)```", text, re.S)
        lines = [line.partition("  #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
        commands.update((item.strip(), name) for item in [*lines, *quoted])
    for package in CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            for text in messages(path):
                quoted = re.findall(r"`([^`\n]+)`", text)
                commands.update((item, path.relative_to(ROOT).as_posix()) for item in quoted)
    return {item: where for item, where in commands.items() if re.match(r"(vpo|dvc) [a-z]", item)}


PRINTED = printed()


def words_of(command: str) -> list[str]:
    return [word.strip("[]") for word in shlex.split(command.replace("...", HOLE))]


@pytest.mark.parametrize("command", [item for item in PRINTED if item.startswith("vpo ")])
def test_a_command_of_ours_is_one_with_these_options(command):
    words, at = words_of(command)[1:], main
    context = click.Context(main, info_name="vpo")
    while isinstance(at, click.Group) and words and not words[0].isupper():
        at = at.get_command(context, words[0])
        assert at is not None, f"{PRINTED[command]}: no command {words[0]}"
        words = words[1:]
    options = {name for option in at.params for name in (*option.opts, *option.secondary_opts)} | {"--help", "-h"}
    assert {word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1} <= options, PRINTED[
        command
    ]


@pytest.mark.parametrize("command", [item for item in PRINTED if item.startswith("dvc ")])
def test_a_command_of_dvc_is_one_that_it_takes(command):
    from dvc.cli.parser import get_main_parser

    words = words_of(command)[1:]
    if len(words) == 2 and words[0] == "config":
        words.append(HOLE)
    with contextlib.redirect_stderr(None):
        get_main_parser().parse_args(words)


def values() -> Iterator[tuple[str, str]]:
    """Yield each -S of the pages beside README, which has a test of its own, and of the texts, with where it stands."""
    texts = [(name, (ROOT / name).read_text(encoding="utf-8")) for name in PAGES if name != "README.md"]
    for package in CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            texts += [(path.relative_to(ROOT).as_posix(), text) for text in messages(path)]
    for where, text in texts:
        for quoted, plain in re.findall(r"-S (?:'([^']+)'|([\w.+]+=[^\s'`]+))", text):
            yield where, (quoted or plain).replace(HOLE, "1")


@pytest.mark.parametrize(("where", "value"), sorted(set(values())))
def test_a_value_that_is_printed_is_a_key_of_the_params(where, value):
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    key, _, given = value.removeprefix("+").partition("=")
    *sections, name = key.split(".")
    node = tree
    for section in sections:
        node = node[section]
    node[name] = YAML(typ="safe").load(given)
    try:
        check_params(tree, "params.yaml")
    except click.ClickException as fault:
        # a half of a choice says what is missing, and never that it does not know the key
        assert not re.search(r"unknown|not a key|Extra inputs", fault.message), (where, fault.message)
