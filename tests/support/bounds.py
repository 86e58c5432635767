"""What a params class refuses of a number or a list, read from the class itself."""

from pydantic import BaseModel

SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "length >="}


def bounds_of(section: type[BaseModel]) -> dict[str, str]:
    """Return field -> its bounds, as `> 0, <= 1`, of the fields that have any."""
    bounds = {}
    for name, field in section.model_fields.items():
        parts = [
            f"{sign} {getattr(limit, key):g}"
            for limit in field.metadata
            for key, sign in SIGNS.items()
            if getattr(limit, key, None) is not None
        ]
        if parts:
            bounds[name] = ", ".join(parts)
    return bounds
