"""What pydantic does not see of the rows of a file: ids against texts, names and rows that come twice, other splits."""

import json
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from schemas.base import QueryBase, Row, Split


class RowChecks:
    """The checks of one file, row by row in their order."""

    def __init__(self, path: Path, row: type[Row]):
        self.key = attrgetter(*row.key) if row.key else None
        self.keys: set[int] = set()
        self.has_split = issubclass(row, QueryBase)
        self.split: str | None = read_split(path)
        self.places = find_places_of_rows(row)

    def find_fault(self, item: Row, line: bytes | None = None) -> str:
        """Return why a row cannot be what it says, as "column: fault"; "" where it can. `line` is its JSON."""
        if line is not None and (repeated := find_repeated_names(item, line, self.places)):
            return f"{repeated}: stands twice in the row"
        if fault := item.find_fault():
            return fault
        if self.has_split:
            split: str = item.split  # type: ignore[attr-defined]  # it is a QueryBase
            if split != self.split:
                if self.split is not None:
                    return f"split: {split}, in a file of {self.split}"
                self.split = split
        if self.key is not None:
            key = hash(self.key(item))
            if key in self.keys:
                return f"{self.key(item)} stands in a row before this one too"
            self.keys.add(key)
        return ""


def find_repeated_names(item: Row, line: bytes, places: Sequence[str]) -> str:
    """Return the names that stand twice in `line`, the JSON of `item`, whose columns `places` hold rows.

    It is parsed again only where its signs leave room for a name that stands twice.
    """
    count = len(item.__pydantic_fields_set__)
    for place in places:
        value = getattr(item, place)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            count += len(one.__pydantic_fields_set__)
    # a name is followed by one colon, and of the colons in texts few stand behind a quote
    if line.count(b":") == count:
        return ""
    if line.count(b'":') == count and b'" ' not in line and b"\t" not in line and b"\r" not in line:
        return ""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, times in counts.items() if times > 1)

    json.loads(line, object_pairs_hook=note)
    return ", ".join(repeated)


def read_split(path: Path) -> Split | None:
    """Return the split that the place of a file tells, None where it tells none.

    data/queries/dpo.jsonl by its name, data/sft/fewshot.jsonl by its lane, data/eval/test/sft/rollout.jsonl by its
    suite and not by its arm; data/eval/fewshot.jsonl is of the test queries.
    """
    folders = path.parts[:-1]
    below = folders[len(folders) - folders[::-1].index("data") :] if "data" in folders else ()
    if "eval" in below:
        return _as_split([*below[below.index("eval") + 1 :], "test"][0])
    return _as_split(path.stem) or _as_split(below[-1] if below else "")


def _as_split(name: str) -> Split | None:
    return next((split for split in get_args(Split) if split == name), None)


def find_places_of_rows(row: type[BaseModel]) -> list[str]:
    """Return the columns that hold rows, or tuples of them; those hold texts and numbers alone."""
    return [name for name, field in row.model_fields.items() if _row_in(field.annotation) is not None]


def _row_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((row for part in get_args(annotation) if (row := _row_in(part))), None)
