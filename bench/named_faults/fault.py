"""The shape of a fault that is written by hand."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A stretch of a file that stands there once, what takes its place, and where a test should turn red.

    Without `tests` those are asked that belong to the file.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str = ""
