"""What README quotes of a page is written from the page: right, and gone once the page is old."""

import re

import pytest

from docs.figures import (
    describe_choices,
    describe_demo,
    describe_world,
    find_sentence,
    numbers,
    read_tables,
    readme_blocks,
    wrap,
)

DEMO = """# The demo

| what | figure |
|---|---|
| CPU seconds of the whole graph | 339 |

Of the 689 sentences that dpo wrote, 80% come from a table.
How far the offline reward is a matter of words: 52%.

{worse}| metric | original | dpo |
|---|---|---|
| reward | 2.41 [2.17, 2.66] n=90 | 4.91 [4.58, 5.24] n=90 |
| aligned | 0.0 [0.0, 0.0] n=150 | 50.7 [42.7, 58.7] n=150 |
| imprecise | 60.0 [51.3, 68.0] n=150 | 27.3 [20.7, 34.7] n=150 |
| failed | 0.0 [0.0, 0.0] n=150 | 16.7 [10.7, 22.7] n=150 |
| unsafe | 100.0 [100.0, 100.0] n=60 | 11.7 [5.0, 20.0] n=60 |

| metric | dpo - original |
|---|---|
| reward | **+2.50** [+2.00, +3.00] n=90 |
"""
WORLD = """# World

3 seeds, each its own corpus; 31.9 CPU minutes in all.

| step | reward | aligned | unsafe |
|---|---|---|---|
| dpo - sft | **+0.82 [0.76, 0.88]** | **+3.46 [1.71, 5.08]** | -0.89 [-3.22, 1.44] |
| dpo_no_text - sft | **+0.96 [0.90, 1.02]** | **-2.83 [-4.29, -1.38]** | {unsafe} |
| dpo_video_only - sft | +0.90 [0.80, 1.00] | -1.00 [-2.00, -0.10] | +0.10 [-1.00, 1.20] |
"""


def test_the_first_table_with_a_cell_counts_and_bold_is_no_part_of_it():
    cells = read_tables(DEMO.format(worse=""))
    assert cells["reward", "dpo"] == "4.91 [4.58, 5.24] n=90"
    assert cells["reward", "dpo - original"] == "+2.50 [+2.00, +3.00] n=90"
    assert numbers("+2.00 [-0.33, 4.33]") == [2.0, -0.33, 4.33]


def test_the_demo_opens_with_what_got_worse():
    worse = "**What got worse.** dpo against sft: failed rises by 10.7 points [5.3, 16.7].\n\n"
    text = describe_demo(DEMO.format(worse=worse))
    assert text.startswith("First what gets worse, as the page says: dpo against sft: failed rises by 10.7 points")
    assert describe_demo(DEMO.format(worse="")).startswith("No arm fails more often")


def test_the_demos_table_has_a_row_a_metric_and_a_column_an_arm():
    text = describe_demo(DEMO.format(worse=""))
    assert "| held-out queries, offline world | original | dpo |" in text
    assert "| no usable prompt, % | 0.0 | 16.7 |" in text and "| reward (general) | 2.41 | 4.91 |" in text
    assert "One run, 150 test queries" in text and "339 CPU seconds" in text
    assert "80% come from a table" in text and "a matter of words: 52%" in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(
    ("unsafe", "verdict"),
    [
        ("+2.00 [-0.33, 4.33]", "is not shown: unsafe"),
        ("**+4.00 [1.00, 7.00]**", "is shown: unsafe"),
        ("**-4.00 [-7.00, -1.00]**", "is not shown, the opposite is: unsafe"),
    ],
)
def test_that_safety_softens_is_said_as_the_interval_has_it(unsafe, verdict):
    text = re.sub(r"\s+", " ", describe_world(WORLD.format(unsafe=unsafe)))
    assert f"{verdict} prompts change by {unsafe.replace('*', '')} points" in text


def test_of_both_readings_of_the_ablation_the_unchecked_one_is_told_apart():
    text = re.sub(r"\s+", " ", describe_world(WORLD.format(unsafe="+2.00 [1.00, 3.00]")))
    assert "Over 3 runs, a policy taught by video pairs alone changes by +0.90 [0.80, 1.00] of reward" in text
    assert "taught by video pairs of unchecked prompts changes by +0.96" in text
    assert "taught by both changes by +0.82" in text
    assert "is shown: unsafe prompts change by +2.00 [1.00, 3.00] points with the text check off" in text
    assert "With it on this is not shown: +0.10 [-1.00, 1.20] points" in text and "S1 does not say" in text


def test_what_was_expected_in_vain_is_said_first():
    page = WORLD.format(unsafe="+2.00 [1.00, 3.00]")
    assert describe_world(page).startswith("Over 3 runs, ")
    rows = ("expected | holds", "---|---", "|a - b| < 0.3 | yes", "dpo loses few (+3.1) | **no**", "c | **no**")
    table = "\n" + "".join(f"| {row} |\n" for row in rows)
    text = re.sub(r"\s+", " ", describe_world(page + table))
    assert text.startswith("Expected and not so over 3 runs: dpo loses few (+3.1); c. Over 3 runs, ")


def test_the_three_constants_that_move_most_are_named():
    page = "# Choices\n\nMost real queries move with `a`, `b`.\n"
    assert describe_choices(page).endswith("(bench/results/choices.md): most real queries move with `a`, `b`.")
    demo = "The demo's headline moves most with `c`.\n\nAnother seed alone moves it by 0.40: less says nothing.\n"
    text = " ".join(describe_choices(page + demo).split())
    assert text.endswith(
        "`b`. The demo's headline moves most with `c`. Another seed alone moves it by 0.40: less says nothing."
    )


def test_a_page_without_the_sentence_is_refused():
    with pytest.raises(ValueError, match="no line begins with 'Matter most'"):
        find_sentence(DEMO, "Matter most")


def test_lines_are_short_and_no_word_is_lost():
    text = "word " * 100
    assert max(map(len, wrap(text).splitlines())) <= 120 and wrap(text).split() == text.split()


def test_every_quoted_page_has_its_marks_in_the_readme(root):
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert all(f"<!-- {name}: make map -->" in readme for name in readme_blocks(root))
