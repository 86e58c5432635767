"""Many rows in little memory: parts that are equal, such as texts, answers and writers, are held once."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from schemas.base import Row

R = TypeVar("R", bound=Row)


class SharedParts:
    """What the rows that pass through have in common; a row of 29 answers is then a tenth of its size."""

    def __init__(self) -> None:
        self.parts: dict[Any, Any] = {}
        self.names: dict[type[Row], set[str]] = {}

    def share(self, rows: Iterable[R]) -> Iterator[R]:
        """Yield the rows, equal to what they were, their equal parts being one object."""
        for row in rows:
            self._share_parts(row)
            yield row

    def _share_parts(self, row: Row) -> None:
        # rows are frozen for their users; what changes here is which of two equal objects they hold
        values = row.__dict__
        for name, value in values.items():
            if isinstance(value, str | tuple | Row):
                values[name] = self._find(value)
        fields = self.names.setdefault(type(row), row.model_fields_set)
        if fields == row.model_fields_set:
            object.__setattr__(row, "__pydantic_fields_set__", fields)

    def _find(self, value: Any) -> Any:
        if (same := self.parts.get(value)) is not None:
            return same
        if isinstance(value, tuple):
            value = tuple(self._find(item) if isinstance(item, str | tuple | Row) else item for item in value)
        elif isinstance(value, Row):
            self._share_parts(value)
        self.parts[value] = value
        return value
