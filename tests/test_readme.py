"""What the README repeats is generated; its commands exist."""

import re
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from docs.figures import QUOTED, readme_blocks
from docs.house import read_blocks
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


SETTINGS = {
    "a hundred careful words; your users type eight": "what the reader knows, no measurement",
    "Two papers": "counted beside",
    "Two commands": "counted beside",
    "Python 3.11 or newer": "a version",
    "four held-out queries": "as many as evaluation/report.py draws",
    "clips of four queries": "as many as evaluation/report.py draws",
    "three training runs": "what bench/world.py runs",
    "half a million weights": "the size of base_model in params.yaml",
    "How a million typed lines become twenty thousand queries": "VidProM's size and VPO's, published",
    "`leakage` that must be 0": "a rule",
    "GLM-4": "a name",
    "Half the price": "what the Batch API charges, published",
    "two of three say so": "critique.votes=3, beside it",
    "Four ways to render": "counted beside",
    "kill -9": "a signal",
    "at 77 tokens": "CLIP's limit, published",
    "is rendered twice": "what reward.replicate does",
    "ZeRO-3 on two processes": "a name; what the test starts",
    "Python 3.11, 3.12 and 3.13": "versions",
    "six files, which a test adds in a copy": "tests/test_documents.py counts them",
    "Apache-2.0": "a licence",
    "CC BY-NC 4.0": "a licence",
    "Llama 3": "a name",
}
"""Words of the README with a number that nobody measured here -> what it is. Measured ones stand in generated parts."""

NUMBER = (
    r"(?<![\w.])(?:[-+]?\d[\d.,]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|dozen|hundred|thousand|"
    r"million|half|twice|thirds?|quarters?|minutes?|hours?|seconds|percent|points)\b"
)


def prose() -> str:
    """Return the README's sentences and tables without code blocks, generated parts and links."""
    text = re.sub(r"^```.*?^```", "", README, flags=re.S | re.M)
    text = re.sub(r"<!-- (\w+):[^>]*-->\n.*?<!-- /\1 -->", "", text, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"\]\([^)]*\)", "]", text))


@pytest.mark.parametrize("words", SETTINGS)
def test_a_number_that_is_allowed_is_there(words):
    assert words in prose()


def test_every_number_that_is_measured_stands_in_a_part_that_is_written_from_its_page():
    text = re.sub("|".join(map(re.escape, sorted(SETTINGS, key=len, reverse=True))), "", prose())
    text = re.sub(r"`[^`]*`", "", text)
    assert [text[max(0, match.start() - 40) : match.end() + 20] for match in re.finditer(NUMBER, text, re.I)] == []


@pytest.mark.parametrize("name", QUOTED)
def test_a_part_that_quotes_a_page_is_what_is_written_from_the_page(name):
    assert read_blocks(README)[name] == readme_blocks()[name], "run: make map"


def test_beside_both_readings_of_the_ablation_stands_that_s1_does_not_say():
    for text in (prose(), (ROOT / "params.yaml").read_text(), (ROOT / "bench/world.py").read_text()):
        assert "S1 does not say" in " ".join(text.replace("#", " ").split())


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
