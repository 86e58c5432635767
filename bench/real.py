"""The graph on real queries: `python -m bench.real FILE [KEY=VALUE ...]` writes bench/results/real_queries.md.

FILE is a list of queries, e.g. the SFT queries that VPO's authors released (VidProM, CC BY-NC 4.0). No query enters the
results, only counts and the table.
"""

import json
import sys
import tempfile
from pathlib import Path

from bench.page import read_basis, write_page
from bench.project import clone, repro, set_params


def main() -> None:
    source, *changes = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="vpo-real-") as name:
        path = Path(name) / "project"
        clone(path)
        basis = read_basis("real_queries", path)
        values = dict(change.split("=", 1) for change in changes)
        set_params(path, {"queries.source": "file", "queries.path": str(Path(source).resolve())})
        set_params(path, {key: json.loads(value) for key, value in values.items()})
        spent, _ = repro(path, Path(name) / "home")
        counted = [json.loads(found.read_text()) for found in (path / "results").rglob("*.json")]
        counted = [item for item in counted if "units_in" in item]
        vanished = sum(item["units_in"] != item["units_done"] + item["units_dropped"] for item in counted)
        queries = json.loads((path / "results/queries.json").read_text())
        table = (path / "results/evaluate.md").read_text().split("\n", 1)[1]
        lines = [
            "# The same graph on real queries",
            "",
            f"`{Path(source).name}`: {queries['units_in']} raw queries; {spent:.0f} CPU seconds; settings as in "
            f"params.yaml but for {', '.join(changes) or 'the source'}.",
            "",
            f"Units that vanished: {vanished} of {len(counted)} stage counts. Dropped by `queries`: "
            + ", ".join(f"{reason} {n}" for reason, n in queries["dropped"].items())
            + ".",
            "",
            f"Splits: {json.dumps(queries['splits'])}",
        ]
        write_page("real_queries", "\n".join(lines) + "\n" + table, basis)
        print("\n".join(lines))


if __name__ == "__main__":
    main()
