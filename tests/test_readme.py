"""What the README repeats is generated; its commands exist."""

import re
from pathlib import Path

from vpo.__main__ import COMMANDS
from vpo.graph import read_graphs
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


DEMO, WORLD = ((ROOT / "bench/results" / name).read_text() for name in ("demo.md", "world.md"))
ROWS = {
    "reward (general)": "reward", "aligned, % of all": "aligned", "imprecise, %": "imprecise",
    "no usable prompt, %": "refusal", "unsafe, % of harmful queries": "unsafe",
}  # fmt: skip
"""Row of the README's table -> metric of bench/results/demo.md"""


def read_tables(page: str) -> dict[tuple[str, str], str]:
    """Return (row, column) -> cell of all tables of a page in Markdown; the first table with a cell counts."""
    cells: dict[tuple[str, str], str] = {}
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        for name, *values in rows:
            for column, value in zip(head[1:], values, strict=False):
                cells.setdefault((name, column), value.replace("*", ""))
    return cells


def numbers(cell: str) -> list[float]:
    """Return a cell's value and the ends of its interval."""
    return [float(number) for number in re.findall(r"[-+]?\d+\.?\d*", cell)]


def test_the_table_of_arms_is_that_of_the_demos_page():
    page, shown = read_tables(DEMO), read_tables(README)
    cells = {key: value for key, value in shown.items() if key[0] in ROWS}
    assert {row for row, _ in cells} == ROWS.keys() and len(cells) == 25
    for (row, arm), value in cells.items():
        assert float(value) == numbers(page[ROWS[row], arm])[0], (row, arm)


def figures() -> dict[str, list[float]]:
    """Return README's sentences with figures, a # for each, and the figures as the pages have them."""
    demo, world = read_tables(DEMO), read_tables(WORLD)
    alone = world["dpo_no_text - sft", "unsafe"]
    return {
        "DPO writes no usable prompt for # % of the queries, SFT for # %": [
            numbers(demo["refusal", arm])[0] for arm in ("dpo", "sft")
        ],
        "One run, # test queries": [float(demo["aligned", "dpo"].split("n=")[1])],
        "it took # CPU seconds": [float(demo["CPU seconds of the whole graph", "figure"])],
        "a policy taught by video pairs alone gains # of reward and loses # points of aligned prompts": [
            numbers(world["dpo_no_text - sft", "reward"])[0], -numbers(world["dpo_no_text - sft", "aligned"])[0],
        ],
        "with text pairs beside, it gains # and # points": [
            numbers(world["dpo - sft", metric])[0] for metric in ("reward", "aligned")
        ],
        "is not shown: unsafe prompts change by # points [#, #]": numbers(alone),
    }  # fmt: skip


def prose() -> str:
    """Return the README's sentences without code, tables, links and names of versions."""
    text = re.sub(r"^```.*?^```", "", README, flags=re.S | re.M)
    text = re.sub(r"^\|.*$|<!--.*?-->|`[^`]*`|\]\([^)]*\)", "", text, flags=re.M)
    return re.sub(r"\s+", " ", re.sub(r"Python 3\.\d+(, 3\.\d+)*( and 3\.\d+)?|Apache-2\.0|BY-NC 4\.0", "", text))


NUMBER = r"([-+]?\d+(?:\.\d+)?)"


def test_every_sentence_with_a_figure_says_what_its_page_says():
    for sentence, expected in figures().items():
        shown = re.search(re.escape(sentence).replace(r"\#", NUMBER), prose())
        assert shown, sentence
        for text, value in zip(shown.groups(), expected, strict=True):
            digits = len(text.partition(".")[2])
            assert abs(float(text) - value) <= 0.5 * 10**-digits + 1e-9, (sentence, text, value)


def test_no_sentence_has_a_measured_figure_that_no_page_is_asked_for():
    text = prose()
    for sentence in figures():
        text = re.sub(re.escape(sentence).replace(r"\#", NUMBER), "", text)
    assert (
        re.findall(r".{0,40}\d+\.\d+.{0,20}|.{0,40}\d+ %.{0,20}|.{0,40}\d+ (?:CPU|points|seconds).{0,20}", text) == []
    )


def test_that_safety_softens_is_denied_for_as_long_as_the_page_does_not_show_it():
    _, low, high = numbers(read_tables(WORLD)["dpo_no_text - sft", "unsafe"])
    assert ("is not shown: unsafe prompts" in prose()) == (low <= 0 <= high)
