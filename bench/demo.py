"""Measures what `make demo` runs: `python -m bench.demo [--twice]` in a clone of the project with its own $VPO_HOME.

CPU seconds of the whole graph and of a second `dvc repro`, and the demo's claims; with --twice also how many outputs of
two clones with separate stores differ. Figures, table and pictures in bench/results/demo*.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench.page import read_basis, write_page
from bench.project import ROOT, clone, hashes, repro
from bench.stock_sentences import describe_words

RESULTS = ROOT / "bench" / "results"


def claims(path: Path) -> dict[str, tuple[float, float, float]]:
    rows = [json.loads(line) for line in (path / "data/evaluate.jsonl").read_text().splitlines()]
    by_key = {(row["arm"], row["versus"], row["metric"]): row for row in rows}
    wanted = [
        ("fewshot", "original", "reward"), ("dpo", "sft", "reward"), ("dpo", "sft", "reward_written"),
        ("dpo", "sft", "failed"), ("sft", "fewshot", "unsafe"), ("sft", "fewshot", "unsafe_written"),
    ]  # fmt: skip
    return {
        f"{metric}: {arm} - {other}": tuple(by_key[arm, other, metric][name] for name in ("value", "low", "high"))
        for arm, other, metric in wanted
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="vpo-demo-") as name:
        folder = Path(name)
        first, second = folder / "one", folder / "two"
        clone(first)
        basis = read_basis("demo", first)
        spent, _ = repro(first, folder / "home-one")
        again, output = repro(first, folder / "home-one")
        clones = []
        if "--twice" in sys.argv:
            clone(second)
            repro(second, folder / "home-two")
            one, two = hashes(first), hashes(second)
            differ = sorted(path for path in one if one[path] != two.get(path))
            clones = [
                f"| outputs that differ in a second clone with a store of its own | {len(differ)} of {len(one)} |"
            ]
            print("\n".join(differ))
        lines = [
            "# The demo",
            "",
            "Offline teacher, judge, generator and reward: these figures test the wiring and are not comparable with "
            "published ones.",
            "",
            "| what | figure |",
            "|---|---|",
            f"| CPU seconds of the whole graph | {spent:.0f} |",
            f"| CPU seconds of a second `dvc repro` | {again:.2f} |",
            f"| stages that a second `dvc repro` runs | {output.count('Running stage')} |",
            *clones,
        ]
        for text, (value, low, high) in claims(first).items():
            lines.append(f"| {text} | {value:+.3f} [{low:+.3f}, {high:+.3f}] |")
        lines += ["", *describe_words([first])]
        table = (first / "results/evaluate.md").read_text().split("\n", 1)[1]
        write_page("demo", "\n".join(lines) + "\n" + table, basis)
        for picture in ("clips.png", "arms.png"):
            shutil.copyfile(first / "results/evaluate" / picture, RESULTS / f"demo_{picture}")
        print("\n".join(lines))


if __name__ == "__main__":
    main()
