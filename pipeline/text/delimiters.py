"""Which sign separates the fields of a CSV file: by the header's line, and where that is open by the rows behind it."""

import csv
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.runtime.io import DataError

DELIMITERS = (",", ";", "\t", "|")
ROWS = 200
"""Rows that a separator has to fit where the header has several. Ours."""


def find_delimiter(path: Path, read_lines: Callable[[Path], Iterator[str]]) -> tuple[str, int]:
    """Return the separator of a CSV or TSV file, and how many lines stand before its header: blank ones, or `sep=;`.

    Excel writes `sep=;` where a country's decimals have a comma. Raises DataError where several signs are possible.
    """
    lines = read_lines(path)
    first, skipped = next(lines, ""), 0
    while first and not first.strip():
        first, skipped = next(lines, ""), skipped + 1
    if first[:4].lower() == "sep=" and len(first.rstrip("\r\n")) == 5:
        return first[4], skipped + 1
    header = _strip_quoted(first)
    possible = [sign for sign in DELIMITERS if sign in header]
    usual = "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes[-2:]] else ","
    if len(possible) < 2:
        return (possible or [usual])[0], skipped
    text = list(itertools.islice(itertools.chain([first], lines), ROWS))
    fitting = [sign for sign in possible if _fits(text, sign)]
    if len(fitting) != 1:
        raise DataError(
            f"{path}: its header could be separated by {' or '.join(repr(sign) for sign in fitting or possible)}; "
            "quote the names that hold such a sign, or separate by commas"
        )
    return fitting[0], skipped


def _strip_quoted(line: str) -> str:
    """Return a line without what stands between double quotes."""
    return "".join(line.split('"')[::2])


def _fits(lines: list[str], delimiter: str) -> bool:
    """Tell whether all rows have as many fields as the header; the last may be cut in a quoted field."""
    counts = []
    try:
        for values in csv.reader(iter(lines), delimiter=delimiter, strict=True):
            if values:
                counts.append(len(values))
    except csv.Error:
        if len(lines) < ROWS:
            return False
    return len(set(counts)) == 1
