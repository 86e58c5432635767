"""What the pages for people say is so: paths exist, commands exist, lists are short enough to be promised."""

import json
import re
import shlex
import tomllib

import pytest
from ruamel.yaml import YAML

from tests.support.contributing import paths_to_add
from vpo.__main__ import COMMANDS

PAGES = ("README.md", "CONTRIBUTING.md", "AGENTS.md", "SECURITY.md", "docs/architecture.md", "experiments/README.md")
MOST_FILES = {"stage": 6, "reward": 4, "renderer": 4, "arm": 0, "recipe": 2}
OURS = ("schemas", "pipeline", "train", "vpo", "tests", "docs", "bench", "recipes", "experiments")


def text_of(root, page):
    return (root / page).read_text(encoding="utf-8")


def every_page(root):
    return [*PAGES, *(path.relative_to(root).as_posix() for path in sorted((root / "docs/rooms").glob("*.md")))]


def test_every_file_and_folder_they_name_exists(root):
    for page in every_page(root):
        for word in re.findall(r"`([\w./-]+)`", text_of(root, page)):
            if word.split("/")[0] in OURS and "/" in word:
                assert (root / word).exists(), f"{page}: {word}"


def test_every_command_of_vpo_they_name_exists(root):
    for page in every_page(root):
        named = set(re.findall(r"(?:^|`)vpo ([a-z][\w-]*)", text_of(root, page), re.M))
        assert named <= set(COMMANDS), page


def test_every_make_target_they_name_exists(root):
    targets = set(re.findall(r"^([a-z]+):", text_of(root, "Makefile"), re.M))
    for page in every_page(root):
        named = set(re.findall(r"(?:^|`|<!-- \w+: )make (?:\w+=\S+ )?([a-z]+)", text_of(root, page), re.M))
        assert named <= targets, page


def test_every_marker_of_a_tier_stands_in_contributing(root):
    markers = tomllib.loads(text_of(root, "pyproject.toml"))["tool"]["pytest"]["ini_options"]["markers"]
    for marker in markers:
        assert f"| `{marker.split(':')[0]}` |" in text_of(root, "CONTRIBUTING.md")


@pytest.mark.parametrize("what", MOST_FILES)
def test_adding_takes_as_few_files_as_promised(root, what):
    paths = paths_to_add(root)[what]
    assert len(paths) <= MOST_FILES[what]
    assert [path for path in paths if "<name>" not in path and not (root / path).is_file()] == []
    # a new file goes where others of its kind are
    assert [path for path in paths if "<name>" in path and not (root / path).parent.is_dir()] == []


def test_a_stage_is_added_with_its_row_its_code_and_its_test(root):
    assert {"schemas/<name>.py", "pipeline/<name>.py", "tests/pipeline/test_<name>.py", "dvc.yaml"} <= {
        *paths_to_add(root)["stage"]
    }


def test_the_hooks_are_what_make_lint_runs(root):
    hooks = YAML(typ="safe").load(text_of(root, ".pre-commit-config.yaml"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    entries = [shlex.split(hook["entry"]) for hook in hooks[0]["hooks"]]
    asked = {tuple(word for word in entry if word != "--force-exclude") for entry in entries}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", text_of(root, "Makefile"), re.M)[1]
    run = {tuple(shlex.split(line.replace(" .", ""))) for line in recipe.splitlines()}
    assert {(entry[0].removeprefix(".venv/bin/"), *entry[1:]) for entry in asked} == run
    assert all(entry[0].startswith(".venv/bin/") for entry in asked)


def test_the_citation_has_the_version_and_licence_of_the_package(root):
    project = tomllib.loads(text_of(root, "pyproject.toml"))["project"]
    citation = YAML(typ="safe").load(text_of(root, "CITATION.cff"))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    papers = [re.search(r"\d{4}\.\d{5}", paper["url"])[0] for paper in citation["references"]]
    assert all(paper in text_of(root, "README.md") for paper in papers) and len(papers) == 2


def test_the_changelog_begins_with_what_is_not_released(root):
    headings = re.findall(r"^## (.*)$", text_of(root, "CHANGELOG.md"), re.M)
    assert headings[0] == "[Unreleased]"
    parts = set(re.findall(r"^### (.*)$", text_of(root, "CHANGELOG.md"), re.M))
    assert parts <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def glossary(root):
    table = text_of(root, "docs/architecture.md").split("## Words\n")[1].split("\n## ")[0]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines() if line[:2] == "| "][
        1:
    ]


def test_the_glossary_has_one_word_for_one_thing(root):
    words = [word for row in glossary(root) for word in row[0].replace("`", "").split(", ")]
    assert len(words) == len(set(words)) > 30


def test_columns_in_the_glossary_are_columns_stages_or_params(root):
    from schemas.params import Params
    from schemas.stage import row_classes

    names = {*row_classes()} | {column for row in row_classes().values() for column in row.model_fields}
    names |= set(re.findall(r'"(\w+)": \{', json.dumps(Params.model_json_schema())))
    named = {word for row in glossary(root) for word in re.findall(r"`(\w+)`", row[0])}
    assert named and named <= names
