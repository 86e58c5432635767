from enum import Enum
from typing import Literal

import pytest

from pipeline.runtime.arrow import arrow_schema
from schemas.base import Row


class Kind(Enum):
    A = "a"


class Part(Row):
    x: int


class Whole(Row):
    text: str
    share: float | None
    yes: bool
    kind: Kind
    split: Literal["sft", "dpo"]
    parts: tuple[Part, ...]


class Strange(Row):
    number: complex


def test_each_field_has_its_arrow_type():
    schema = arrow_schema(Whole)
    assert {field.name: str(field.type) for field in schema} == {
        "text": "string", "share": "double", "yes": "bool", "kind": "string", "split": "string",
        "parts": "list<item: struct<x: int64>>",
    }  # fmt: skip


def test_a_type_that_no_row_has_is_refused():
    with pytest.raises(TypeError, match="no Arrow type for .*complex"):
        arrow_schema(Strange)
