"""Reads the one sheet of an Excel file (.xlsx), by openpyxl of the extra `xlsx`."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.runtime.io import DataError


def read_sheet(path: Path) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the only sheet that holds anything, header first, each as wide as the header; None is empty.

    Formulas count by the values that were saved with them. Raises DataError without the extra, for a file that is no
    .xlsx, for two sheets with rows, and for a value beside the header's columns.
    """
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{path}: .xlsx needs openpyxl: pip install 'vpo[xlsx]', or save it as CSV in UTF-8") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if any(any(row) for row in sheet.iter_rows(values_only=True))]
        if len(sheets) > 1:
            names = ", ".join(sheet.title for sheet in sheets)
            raise DataError(f"{path}: {len(sheets)} sheets hold rows ({names}); keep one of them, or save it as CSV")
        yield from _cut_to_header(path, [row for sheet in sheets for row in sheet.iter_rows(values_only=True)])
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as fault:
        line = (str(fault).splitlines() or [type(fault).__name__])[0][:200]
        raise DataError(f"{path}: not a whole .xlsx file ({line}); save it again, or as CSV") from None


def _cut_to_header(path: Path, rows: list[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    filled = [(number, row) for number, row in enumerate(rows, 1) if any(value is not None for value in row)]
    if not filled:
        return
    _, header = filled[0]
    width = max(place for place, name in enumerate(header, 1) if name is not None)
    for number, row in filled:
        if any(value is not None for value in row[width:]):
            raise DataError(f"{path}: row {number} has a value beside the {width} columns of the header")
        yield (*row[:width], *[None] * (width - len(row)))
