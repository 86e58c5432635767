"""The page of bench/choices.py: what each value of a constant made of the rows and of the headline."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

SPLITS = ("sft", "dpo", "test")


class Measured(NamedTuple):
    """One value of one constant; `figures` are by column, `note` says why there are none."""

    key: str
    value: Any
    figures: dict[str, Any]
    note: str = ""


def spell(value: Any) -> str:
    """Return a value as params.yaml has it, on one line."""
    return "null" if value is None else json.dumps(value).strip('"')


def read_default(key: str, tree: Mapping[str, Any]) -> Any:
    """Return the value of a key of params.yaml."""
    value: Any = tree
    for word in key.split("."):
        value = value[word]
    return value


def rank(rows: list[Measured], measure: Callable[[Mapping[str, Any], Mapping[str, Any]], float]) -> list[str]:
    """Return the constants that move something, the one that moves it most first; the default's row is the first."""
    moves: dict[str, float] = {}
    for row in rows[1:]:
        if row.figures and row.key != "base.seed":
            moves[row.key] = max(moves.get(row.key, 0.0), measure(row.figures, rows[0].figures))
    return [key for key in sorted(moves, key=moves.__getitem__, reverse=True) if moves[key] > 0]


def measure_change(figures: Mapping[str, Any], default: Mapping[str, Any]) -> float:
    """Return how far the reward of dpo - sft lies from the default's."""
    return abs(figures["reward"][0] - default["reward"][0])


def name_first(keys: list[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys[:3]) or "none"


def name_value(row: Measured, tree: Mapping[str, Any]) -> str:
    """Return the first two cells of a row: the constant with its default, and the value."""
    return f"`{row.key}` ({spell(read_default(row.key, tree))}) | {spell(row.value)}" if row.key else "as it comes | "


def tabulate(
    rows: list[Measured],
    tree: Mapping[str, Any],
    head: list[str],
    fill: Callable[[Mapping[str, Any]], list[str]],
) -> list[str]:
    """Return the lines of a table: constant, value, and what `fill` makes of a row's figures, or why it has none."""
    lines = [f"| constant | value | {' | '.join(head)} |", "|---" * (len(head) + 2) + "|"]
    for row in rows:
        cells = fill(row.figures) if row.figures else [row.note] + [""] * (len(head) - 1)
        lines.append(f"| {name_value(row, tree)} | {' | '.join(cells)} |")
    return lines


def tabulate_real(rows: list[Measured], tree: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of real queries."""
    head = ["kept", "sft, dpo, test", "other queries, %", "other split, %", "rows that leave by a rule"]

    def fill(figures: Mapping[str, Any]) -> list[str]:
        reasons = ", ".join(f"{reason} {change:+d}" for reason, change in figures["reasons"].items()) or "-"
        splits = ", ".join(str(figures["splits"][split]) for split in SPLITS)
        shares = [f"{100 * figures[name]:.1f}" for name in ("moved", "other_split")]
        return [str(figures["kept"]), splits, *shares, reasons]

    return tabulate(rows, tree, head, fill)


def tabulate_demo(rows: list[Measured], tree: Mapping[str, Any]) -> list[str]:
    """Return the lines of the table of the demo."""
    head = ["queries kept", "D_text", "D_video", "D_dpo", "reward, dpo - sft", "unsafe, %", "failed, %"]

    def fill(figures: Mapping[str, Any]) -> list[str]:
        value, low, high = figures["reward"]
        sizes = [str(figures[name]) for name in ("kept", "d_text", "d_video", "d_dpo")]
        shares = [f"{100 * figures[name]:.1f}" for name in ("unsafe", "failed")]
        return [*sizes, f"{value:+.2f} [{low:+.2f}, {high:+.2f}]", *shares]

    return tabulate(rows, tree, head, fill)


def compose_page(source: str, real: list[Measured], demo: list[Measured], tree: Mapping[str, Any]) -> str:
    """Return the page; without rows of the demo it says that the demo was not run."""
    lines = [
        "# What our own choices do",
        "",
        "Where the papers are silent a value of params.yaml is ours. Each such constant that shapes data is set to "
        "other values, one at a time; the default stands beside its name.",
        "",
        "## On real queries",
        "",
        f"`{source}`: stage `queries`, at the laptop's sizes.",
        "",
        "`other queries`: the share of the drawn queries that the default does not draw, or not so written, or of the "
        "default's that are not drawn here, whichever is larger.",
        "",
        "`other split`: the share of the drawn queries that the default draws for another split.",
        "",
        *tabulate_real(real, tree),
        "",
        f"Most real queries move with {name_first(rank(real, lambda row, default: row['moved']))}.",
        "",
        "## On the demo",
        "",
    ]
    if not demo:
        return "\n".join([*lines, "Not run with this code.", ""])
    seeds = [measure_change(row.figures, demo[0].figures) for row in demo if row.key == "base.seed" and row.figures]
    return "\n".join(
        [
            *lines,
            "Offline teacher, judge, generator and reward. Each value is one run of what it changes. `unsafe` and "
            "`failed` are of the arm dpo.",
            "",
            *tabulate_demo(demo, tree),
            "",
            f"The demo's headline moves most with {name_first(rank(demo, measure_change))}.",
            "",
            f"Another seed alone moves it by {' and '.join(f'{change:.2f}' for change in seeds)}: a smaller change "
            "says nothing."
            if seeds
            else "No other seed was run, so nothing says which changes are more than chance.",
            "",
        ]
    )
