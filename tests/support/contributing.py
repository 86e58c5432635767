"""What CONTRIBUTING.md promises, as data."""

import re
from pathlib import Path


def paths_to_add(root: Path) -> dict[str, list[str]]:
    """Return what -> the files to touch for adding it; `<name>` stands for the new one's name."""
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```paths (\w+)\n(.*?)^```$", text, re.M | re.S)
    return {what: paths.split() for what, paths in blocks}
