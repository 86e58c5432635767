"""Row class -> Arrow schema, so that an empty file still has its columns and types."""

import types
import typing
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

from schemas.base import Row


def arrow_schema(row: type[Row]) -> Any:
    """Return the pyarrow.Schema of a row class: scalars, lists and structs as pydantic declares them.

    Raises TypeError for a type that no row has.
    """
    import pyarrow as pa

    return pa.schema([pa.field(name, _arrow(field.annotation, pa)) for name, field in row.model_fields.items()])


def _arrow(annotation: Any, pa: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _arrow(next(item for item in arguments if item is not type(None)), pa)
    if origin is Literal:
        return _arrow(type(arguments[0]), pa)
    if origin in (tuple, list):
        return pa.list_(_arrow(arguments[0], pa))
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return pa.struct([(name, _arrow(field.annotation, pa)) for name, field in annotation.model_fields.items()])
        if issubclass(annotation, Enum) or annotation is str:
            return pa.string()
        if annotation is bool:
            return pa.bool_()
        if annotation is int:
            return pa.int64()
        if annotation is float:
            return pa.float64()
    raise TypeError(f"no Arrow type for {annotation!r}")
