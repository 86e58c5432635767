"""What a params class refuses of a number or a list, read from the class itself."""

from collections.abc import Iterable

from pydantic import BaseModel

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >="}


def bounds_of(section: type[BaseModel], names: Iterable[str]) -> dict[str, str | None]:
    """Return field -> its bounds, as `> 0, <= 1`, of the fields with these names; None where a field has none."""
    bounds: dict[str, str | None] = dict.fromkeys(names)
    for name in bounds:
        parts = [
            f"{sign} {getattr(limit, key):g}"
            for limit in section.model_fields[name].metadata
            for key, sign in SIGNS.items()
            if getattr(limit, key, None) is not None
        ]
        bounds[name] = ", ".join(parts) or None
    return bounds
