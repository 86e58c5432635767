"""What a stage declares of itself, and the row class that its name leads to."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from schemas.base import Dropped, Row

if TYPE_CHECKING:
    from schemas.params import Params


def always(params: "Params", options: Sequence[str]) -> bool:
    """The condition of what a stage asks in every case."""
    return True


@dataclass(frozen=True)
class Ask:
    """A seam that a stage asks, and the section of params.yaml that says who answers.

    A * in `section` stands for the arm that the command's option --arm names. `when(params, options)` tells whether it
    does, by the params and by the options of its command.
    """

    seam: Literal["teacher", "policy", "renderer", "reward"]
    section: str
    when: Callable[["Params", Sequence[str]], bool] = always


@dataclass(frozen=True)
class Declaration:
    """What a stage says of itself to whoever plans: `STAGE` in its module.

    `reads` are the row classes that it reads, `row` is the one it writes (None: no rows), `unit` what one of its
    units of work is.
    """

    reads: tuple[type[Row], ...]
    row: type[Row] | None
    unit: str
    asks: tuple[Ask, ...] = ()


def row_class(stage: str) -> type[Row] | None:
    """Return the row class of a stage by its name: d_sft -> schemas.d_sft.DSft, queries -> schemas.queries.Query.

    Looked up in `schemas/` alone, so that whoever only asks for a shape loads no stage. None where there is none.
    """
    try:
        module = importlib.import_module(f"schemas.{stage}")
    except ModuleNotFoundError:
        return None
    singular = re.sub(r"ies$", "y", stage)
    name = "".join(part.capitalize() for part in singular.split("_"))
    row = getattr(module, name, None)
    return row if isinstance(row, type) and issubclass(row, Row) else None


def dropped_class(row: type[Row]) -> type[Row]:
    """Return the class of what a stage drops: Dropped, or the one beside its row class that is named after it."""
    own: type[Row] = getattr(importlib.import_module(row.__module__), f"{row.__name__}Dropped", Dropped)
    return own


def row_classes() -> dict[str, type[Row]]:
    """Return all row classes by the name of their stage."""
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return {name: row for name in names if (row := row_class(name)) is not None}
