"""Which installed libraries are not those that vpo was tested with: by the ranges it asks for, and by the pins."""

import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement

PIN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.!+-]+)")


@cache
def requirements(extra: str = "") -> "list[Requirement]":
    """Return what pip was asked for an extra of vpo, without extra for vpo itself, as packaging's Requirements."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("vpo") or ()]
    except metadata.PackageNotFoundError:  # run from the sources alone
        return []
    return [one for one in wanted if one.name != "vpo" and _belongs(one, extra)]


def _belongs(requirement: "Requirement", extra: str) -> bool:
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return not extra
    return bool(extra) and marker.evaluate({"extra": extra})


def out_of_range(extra: str = "") -> list[str]:
    """Return `av 19.0.2 is not <19,>=18.1` for each installed library of an extra that vpo does not work with."""
    return [
        f"{one.name} {version} is not {one.specifier}"
        for one, version in _read_installed(extra)
        if not one.specifier.contains(version, prereleases=True)
    ]


def find_untested(extra: str, constraints: Path) -> list[str]:
    """Return `diffusers 0.50.0, tested 0.42.1` for each installed library of an extra that is not as pinned.

    Without a file of constraints nothing is pinned.
    """
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    lines = constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else []
    pins = {canonicalize_name(pin["name"]): pin["version"] for pin in map(PIN.match, lines) if pin}
    return [
        f"{one.name} {version}, tested {pin}"
        for one, version in _read_installed(extra)
        # a local build, 2.13.0+cpu, is the same release
        if (pin := pins.get(canonicalize_name(one.name))) and Version(version).public != Version(pin).public
    ]


def _read_installed(extra: str) -> Iterator[tuple]:
    for one in requirements(extra):
        try:
            yield one, metadata.version(one.name)
        except metadata.PackageNotFoundError:
            continue
