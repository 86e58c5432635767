"""Sections of params.yaml with other values, of another backend too: made and checked as from the file."""

from typing import Any

from pydantic import TypeAdapter

from schemas.backends import SEAMS
from schemas.section import BackendParams, section_classes


def section_of(seam: str, **values: Any) -> Any:
    """Return the params class of the backend that `values` name."""
    return TypeAdapter(SEAMS[seam]).validate_python(values)


def with_values(section: BackendParams, **values: Any) -> Any:
    """Return the section with some values changed, as the class of the backend that it then names."""
    seam = next(seam for seam, kind in SEAMS.items() if type(section) in section_classes(kind))
    return section_of(seam, **section.model_dump() | values)
