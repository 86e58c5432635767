"""A part of params.yaml as a class: frozen, unknown keys refused, and what is read of it told to a test."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

COMMIT = r"^[0-9a-f]{40}$"
ON_THE_HUB = r"^[\w.-]+/[\w.-]+$"

_recording: dict[int, str] | None = None
_read: set[str] = set()


class Section(BaseModel):
    """A part of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def __getattribute__(self, name: str):
        value = super().__getattribute__(name)
        if _recording is not None and name in type(self).model_fields:
            here = _recording.get(id(self))
            if here is not None:
                key = f"{here}.{name}" if here else name
                if isinstance(value, Section):
                    _recording[id(value)] = key
                elif isinstance(value, dict) and all(isinstance(item, Section) for item in value.values()):
                    for item_name, item in value.items():
                        _recording[id(item)] = f"{key}.{item_name}"
                else:
                    _read.add(key)
        return value


def record(params: Section) -> set[str]:
    """Return a set that fills with the single keys read from `params` from now on; a test compares it with dvc.yaml."""
    global _recording
    _recording = {id(params): ""}
    _read.clear()
    return _read


class Seam(Section):
    """A backend by name and the values it reads; a value that the chosen one does not read is refused."""

    READS: ClassVar[dict[str, set[str]]] = {}
    """backend -> the optional fields it reads"""

    @model_validator(mode="after")
    def refuse_what_the_backend_does_not_read(self):
        backend = self.backend
        for name in type(self).model_fields:
            readers = sorted(key for key, fields in self.READS.items() if name in fields)
            if readers and backend not in readers and getattr(self, name) is not None:
                raise ValueError(f"{name} is read by {' and '.join(readers)}, not by {backend}: set it to null")
        return self
