"""The page says what moves most, in figures and by name, and what was not run."""

import re

import pytest
from ruamel.yaml import YAML

from bench.choices_page import Measured, compose_page, rank, spell
from tests.support.choice_rows import demo_row


@pytest.fixture
def tree(root):
    return YAML(typ="safe").load((root / "params.yaml").read_text(encoding="utf-8"))


DEMO = [
    demo_row("", None, 0.5),
    demo_row("base.seed", 1, 0.1),
    demo_row("dpo.min_effect", 0.5, 0.45),
    demo_row("dpo.min_effect", 1.0, 0.8),
    demo_row("critique.votes", 3, 0.6),
    Measured("queries.pii", [], {}, "no row changed"),
    Measured("queries.languages", ["en"], {}, "not run: the CPU minutes were spent"),
]


def test_the_seed_is_the_yardstick_and_no_choice():
    keys = rank(DEMO, lambda row, default: abs(row["reward"][0] - default["reward"][0]))
    assert keys == ["dpo.min_effect", "critique.votes"]


def test_the_page_names_what_moves_most_and_what_was_not_run(tree):
    kept = {"kept": 20, "splits": {"sft": 10, "dpo": 5, "test": 5}, "moved": 0.0, "other_split": 0.0, "reasons": {}}
    real = [
        Measured("", None, kept),
        Measured("queries.min_words", 5, kept | {"moved": 0.25, "other_split": 0.03, "reasons": {"url": 2}}),
    ]
    text = compose_page("typed.json", real, DEMO, tree)
    assert "| `queries.min_words` (3) | 5 | 20 | 10, 5, 5 | 25.0 | 3.0 | url +2 |" in text
    assert "Most real queries move with `queries.min_words`." in text
    head = next(line for line in text.splitlines() if line.startswith("| constant | value | kept"))
    named = re.findall("^`([^`]+)`: the share", text, re.M)
    assert named == ["other queries", "other split"] and all(f"| {name}, % |" in head for name in named)
    assert "| `dpo.min_effect` (null) | 1.0 | 9 | 3 | 4 | 7 | +0.80 [+0.70, +0.90] | 10.0 | 5.0 |" in text
    assert (
        "| `queries.pii` " in text
        and "| no row changed |" in text
        and "| not run: the CPU minutes were spent |" in text
    )
    assert "The demo's headline moves most with `dpo.min_effect`, `critique.votes`." in text
    assert "Another seed alone moves it by 0.40: a smaller change says nothing." in text


def test_without_the_demo_the_page_says_so(tree):
    kept = {"kept": 20, "splits": {"sft": 10, "dpo": 5, "test": 5}, "moved": 0.0, "other_split": 0.0, "reasons": {}}
    text = compose_page("typed.json", [Measured("", None, kept)], [], tree)
    assert "Not run with this code." in text and "Most real queries move with none." in text


@pytest.mark.parametrize(("value", "text"), [(None, "null"), (True, "true"), ("words", "words"), (["a"], '["a"]')])
def test_a_value_is_spelled_as_in_the_params_file(value, text):
    assert spell(value) == text
