"""Measures the teacher engine against the loopback server: `python -m bench.teacher [--times N] [NAME...]`.

Each line is measured by itself and kept in bench/results/teacher.json; the tables in teacher.md are made of that.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench import teacher_kept as kept
from bench import teacher_speed as speed
from bench.page import read_basis, read_record, write_page
from bench.teacher_stage import ROOT

RESULTS = ROOT / "bench" / "results"


class Line(NamedTuple):
    title: str
    measure: object
    table: object
    times: int = 5


LINES = {
    "faults": Line("10 % mixed faults, stage fewshot", kept.faults, kept.faults_table),
    "killed": Line("kill -9 at random points, then run to the end", kept.killed, kept.killed_table, 1),
    "reused": Line("What an answer depends on", kept.reused, kept.reused_table, 1),
    "limits": Line(
        "A limit of 1,200 requests a minute or their tokens, 64 in flight", speed.limits, speed.limits_table
    ),
    "counted": Line("The engine's counts and the server's", speed.counted, speed.counted_table),
    "budget": Line("A budget", speed.budget, speed.budget_table),
    "wall": Line("5,000 requests, 64 in flight, 200 ms (log-normal)", speed.wall, speed.wall_table),
    "first": Line("Time to the first request", speed.first, speed.first_table),
    "size": Line("Largest size by rows", speed.size, speed.size_table, 1),
    "cpu": Line("CPU of the client", speed.cpu, speed.cpu_table),
}


def render(raw: dict) -> str:
    lines = ["# The teacher engine", "", "Loopback server in a process of its own; medians; ratios within one run."]
    for name, line in LINES.items():
        if raw.get(name):
            lines += ["", f"## {line.title} (`{name}`)", "", *line.table(raw[name])]
    return "\n".join(lines) + "\n"


def main() -> None:
    words = sys.argv[1:]
    times = None
    if "--times" in words:
        at = words.index("--times")
        times = int(words[at + 1])
        del words[at : at + 2]
    if strangers := [word for word in words if word not in LINES]:
        sys.exit(f"no line {strangers[0]}; there are {', '.join(LINES)}")
    path = RESULTS / "teacher.json"
    # lines that are kept are as old as the page was
    basis = read_record("teacher") if words else read_basis("teacher")
    for name in words or LINES:
        with tempfile.TemporaryDirectory(prefix="vpo-teacher-") as folder:
            runs = LINES[name].measure(Path(folder), times or LINES[name].times)
        raw = json.loads(path.read_text()) if path.exists() else {}
        raw[name] = runs
        path.write_text(json.dumps(raw, indent=1) + "\n")
        write_page("teacher", render(raw), basis)
        print("\n".join(LINES[name].table(runs)) if runs else f"{name}: nothing measured")


if __name__ == "__main__":
    main()
