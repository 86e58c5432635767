"""What the README repeats is generated; its commands exist."""

import re
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from pipeline.runtime.params_file import check_params
from vpo.__main__ import COMMANDS
from vpo.graph import read_graphs
from vpo.recipe import merge
from vpo.stages import markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_stage_table_is_that_of_the_graph():
    shown = re.search(r"<!-- stages.*?-->\n(.*?)\n<!-- /stages -->", README, re.S)[1]
    assert shown == markdown(read_graphs(ROOT)), "run: vpo stages --md, and put it between the marks"


def test_every_command_it_names_exists():
    named = set(re.findall(r"^vpo ([\w-]+)", README, re.M)) | set(re.findall(r"`vpo ([\w-]+)", README))
    assert named and named <= set(COMMANDS)


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M)) <= targets


def test_every_picture_it_shows_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path


def set_values(text, tree):
    """Put the values of each -S of a text into the tree of params, as DVC would (`+` adds a key)."""
    from ruamel.yaml import YAML

    values = re.findall(r"-S '?\+?([\w.]+)=((?<=')[^']*|\{[^}]*\}|[^\s'`]+)", text)
    for key, value in values:
        *sections, name = key.split(".")
        node = tree
        for section in sections:
            node = node[section]
        node[name] = YAML(typ="safe").load(value)
    return [key for key, _ in values]


def blocks():
    """Return the shell blocks of the README, and each of its paragraphs with an -S."""
    shell = re.findall(r"```sh\n(.*?)```", README, re.S)
    prose = re.sub(r"```.*?```", "", README, flags=re.S).split("\n\n")
    return [block for block in [*shell, *prose] if "-S " in block]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: re.search(r"-S '?\+?([\w.]+)", block)[1])
def test_every_value_it_sets_is_taken(block):
    """On the default params, behind the recipe that the block uses first; alternatives (`or: `) each alone."""
    yaml = YAML(typ="safe")
    tree = yaml.load((ROOT / "params.yaml").read_text())
    for line in block.replace("\\\n", " ").splitlines() if "dvc exp run" in block else [block]:
        if used := re.match(r"vpo recipe use ([\w-]+)", line):
            list(merge(tree, yaml.load((ROOT / f"recipes/{used[1]}.yaml").read_text())))
        if alone := re.search(r"# or: (-S .*?)(?: \.\.\.)?$", line):
            other = yaml.load((ROOT / "params.yaml").read_text())
            assert set_values(alone[1], other)
            check_params(other, "params.yaml")
        elif set_values(line, tree):
            check_params(tree, "params.yaml")


@pytest.mark.parametrize("value", ["-S queries.sample=stratified", "-S critique.votes=3", "-S dpo.min_effect=1"])
def test_a_choice_alone_is_taken_on_the_default_params(value):
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    assert set_values(value, tree) and check_params(tree, "params.yaml")


def test_a_backend_alone_says_that_the_model_is_still_the_offline_one():
    tree = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    set_values("-S teacher.backend=openai", tree)
    with pytest.raises(click.ClickException, match="model is still grammar, an offline teacher's"):
        check_params(tree, "params.yaml")
