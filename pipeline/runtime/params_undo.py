"""What takes a refused value out of params.yaml again, where `dvc exp run -S` leaves it."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SHOWN = 6
"""changed keys that are named"""


def describe_undo(path: str | Path, tree: Any) -> str:
    """Return the command that sets a params file back to the last commit, and which changes that takes out.

    `tree` is what the file holds now. "" where the file is as it was committed, or git does not know it.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = Path(path)
    try:
        done = subprocess.run(
            ["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, text=True, check=False
        )
        committed = YAML(typ="safe").load(done.stdout) if done.returncode == 0 else None
    except (OSError, YAMLError):
        return ""
    if not isinstance(committed, Mapping) or not isinstance(tree, Mapping):
        return ""
    before, now = dict(flatten(committed)), dict(flatten(tree))
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key) or (key in before) != (key in now)]
    if not changed:
        return ""
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    names = ", ".join(changed[:SHOWN])
    return f"`git checkout -- {path}` takes out what was changed since the last commit: {names}{more}"


def flatten(tree: Mapping[Any, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of the leaves of a mapping."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
