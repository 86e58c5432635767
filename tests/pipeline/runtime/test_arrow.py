"""A row class as an Arrow schema."""

from typing import Literal

import pyarrow as pa
import pytest

from pipeline.runtime.arrow import arrow_schema
from schemas import ROWS
from schemas.base import Row
from schemas.reasons import Reason


class Inner(Row):
    name: str
    value: float | None = None


class Outer(Row):
    text: str
    count: int | None = None
    share: float
    kept: bool
    kind: Literal["a", "b"]
    reason: Reason
    names: tuple[str, ...] = ()
    parts: tuple[Inner, ...] = ()
    inner: Inner | None = None


def test_scalars_lists_and_structs_have_their_types():
    part = pa.struct([("name", pa.string()), ("value", pa.float64())])
    assert arrow_schema(Outer) == pa.schema(
        [
            ("text", pa.string()), ("count", pa.int64()), ("share", pa.float64()), ("kept", pa.bool_()),
            ("kind", pa.string()), ("reason", pa.string()), ("names", pa.list_(pa.string())),
            ("parts", pa.list_(part)), ("inner", part),
        ]
    )  # fmt: skip


@pytest.mark.parametrize("stage", ROWS)
def test_every_row_has_a_schema_with_its_columns(stage):
    assert arrow_schema(ROWS[stage]).names == [*ROWS[stage].model_fields]


def test_a_type_that_arrow_does_not_have_is_named():
    class Strange(Row):
        what: bytes

    with pytest.raises(TypeError, match="no Arrow type for <class 'bytes'>"):
        arrow_schema(Strange)
