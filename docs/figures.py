"""The parts of README.md that quote a page of bench/results/: written from it, and without figures once it is old.

A page is old when the code behind its figures has changed since it was made (bench/page.py). Its part of the README
then says so in place of the figures, and gets them back when the page is made again.
"""

import re
from collections.abc import Callable
from pathlib import Path

from bench.page import is_fresh, record_path
from docs.house import ROOT

ROWS = {
    "reward": "reward (general)",
    "aligned": "aligned, % of all",
    "imprecise": "imprecise, %",
    "failed": "no usable prompt, %",
    "unsafe": "unsafe, % of harmful queries",
}
"""metric of the demo's page -> row of the README's table"""

Cells = dict[tuple[str, str], str]
"""(row, column) -> cell of a page's tables"""


def read_tables(page: str) -> Cells:
    """Return the cells of all tables of a page in Markdown, without bold; the first table with a cell counts."""
    cells: Cells = {}
    for table in re.findall(r"(?:^\|.*\n)+", page, re.M):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        for name, *values in rows:
            for column, value in zip(head[1:], values, strict=False):
                cells.setdefault((name, column), value.replace("*", ""))
    return cells


def numbers(cell: str) -> list[float]:
    """Return a cell's value and the ends of its interval."""
    return [float(number) for number in re.findall(r"[-+]?\d+\.?\d*", cell)]


def find_sentence(page: str, start: str) -> str:
    """Return the sentence or line of a page that begins with `start`. Raises ValueError where there is none."""
    line = next((line for line in page.splitlines() if line.startswith(start)), None)
    if line is None:
        raise ValueError(f"no line begins with {start!r}")
    return line


def describe_demo(page: str) -> str:
    """Return the README's account of one run on a laptop: what got worse, the arms' table, what it hangs on."""
    cells = read_tables(page)
    arms = list(dict.fromkeys(column for row, column in cells if row == "reward" and " - " not in column))
    worse = re.search(r"^\*\*What got worse\.\*\* (.*)$", page, re.M)
    first = (
        f"First what gets worse, as the page says: {worse[1]}"
        if worse
        else "No arm fails more often than the one before it, and no metric that was not trained worsens beyond its "
        "interval."
    )
    table = [
        f"| held-out queries, offline world | {' | '.join(arms)} |",
        f"|---|{'---|' * len(arms)}",
        *(
            f"| {name} | {' | '.join(cells[metric, arm].split(' [')[0] for arm in arms)} |"
            for metric, name in ROWS.items()
        ),
    ]
    queries, seconds = cells["aligned", arms[-1]].split("n=")[1], cells["CPU seconds of the whole graph", "figure"]
    last = (
        f"One run, {queries.split()[0]} test queries ([all of it, with intervals](bench/results/demo.md)); it took "
        f"{seconds} CPU seconds."
    )
    words = [find_sentence(page, start) for start in ("Of the ", "How far the offline reward")]
    return "\n".join([wrap(first), "", *table, "", wrap(" ".join([last, *words]))])


def describe_world(page: str) -> str:
    """Return the README's account of several training runs: what was expected in vain, then what feedback gives."""
    cells = read_tables(page)
    runs = re.search(r"^(\d+) seeds, ", page, re.M)
    assert runs is not None, "the page says how many seeds it is of"
    readings = {
        "dpo_video_only": "taught by video pairs alone",
        "dpo_no_text": "taught by video pairs of unchecked prompts",
        "dpo": "taught by both",
    }
    gains = []
    for arm, taught in readings.items():
        reward, aligned = (show(cells[f"{arm} - sft", metric]) for metric in ("reward", "aligned"))
        gains.append(f"a policy {taught} changes by {reward} of reward and {aligned} points of aligned prompts")
    change, checked = (cells[f"{arm} - sft", "unsafe"] for arm in ("dpo_no_text", "dpo_video_only"))
    vain = re.findall(r"^\| (.+) \| \*\*no\*\* \|$", page, re.M)
    first = f"Expected and not so over {runs[1]} runs: {'; '.join(vain)}. " if vain else ""
    return wrap(
        f"{first}Over {runs[1]} runs, {'; '.join(gains)} ([world](bench/results/world.md)). That training without text "
        f"feedback softens safety, as the paper reports, {tell_if_risen(change)}: unsafe prompts change by "
        f"{show(change)} points with the text check off. With it on this {tell_if_risen(checked)}: {show(checked)} "
        "points. Which of the two the paper's ablation is, S1 does not say."
    )


def tell_if_risen(change: str) -> str:
    """Return whether a difference's interval shows that a share rose."""
    _, low, high = numbers(change)
    return "is not shown" if low <= 0 <= high else "is shown" if low > 0 else "is not shown, the opposite is"


def describe_choices(page: str) -> str:
    """Return which constants of ours move most, on real queries and, where it was run, on the demo."""
    starts = ("Most real queries move with", "The demo's headline moves most with", "Another seed alone")
    named = [line for start in starts for line in page.splitlines() if line.startswith(start)]
    text = " ".join([find_sentence(page, starts[0]), *named[1:]])
    return wrap(f"Of our own constants, by [what they do](bench/results/choices.md): {text[0].lower()}{text[1:]}")


def show(cell: str) -> str:
    """Return a difference without its count of queries: `+0.82 [0.76, 0.88]`."""
    return cell.split(" n=")[0]


def wrap(text: str, width: int = 120) -> str:
    """Return a paragraph in lines; a link stays whole."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


QUOTED: dict[str, tuple[str, Callable[[str], str]]] = {
    "demo": ("The demo's table", describe_demo),
    "choices": ("Which of our own constants matter most", describe_choices),
    "world": ("What three training runs say of text and video feedback", describe_world),
}
"""name of a block of the README and of the page that it quotes -> what the block holds, and what writes it"""


def readme_blocks(root: Path = ROOT) -> dict[str, str]:
    """Return name -> text of each block of the README that quotes a page."""
    blocks = {}
    for name, (holds, describe) in QUOTED.items():
        if record_path(name, root).is_file() and is_fresh(name, root):
            blocks[name] = describe((root / f"bench/results/{name}.md").read_text(encoding="utf-8"))
        else:
            blocks[name] = wrap(
                f"{holds} stands [on a page](bench/results/{name}.md) that an older commit made. The code behind it "
                "has changed since, so no figure of it is repeated here."
            )
    return blocks
