"""Every supported Python gets the same libraries."""

import re
import tomllib
from collections import Counter

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(root) -> list[tuple[str, str]]:
    """Return (name, version) of each line of constraints.txt."""
    lines = (root / "constraints.txt").read_text().splitlines()
    return [re.match(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if not line.startswith("#")]


def test_each_library_is_pinned_once_for_all_pythons(root):
    assert len(pins(root)) > 100
    assert {name: times for name, times in Counter(name for name, _ in pins(root)).items() if times > 1} == {}


def test_what_the_project_asks_for_is_pinned_within_its_range(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {Requirement(text) for some in lists for text in some}
    versions = dict(pins(root))
    missing = [str(one) for one in wanted if one.name != "vpo" and canonicalize_name(one.name) not in versions]
    outside = [
        str(one)
        for one in wanted
        if one.name != "vpo" and not one.specifier.contains(versions[canonicalize_name(one.name)])
    ]
    assert missing == [] == outside
