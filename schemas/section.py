"""A part of params.yaml as a class: frozen, unknown keys refused, and what is read of it told to a test."""

from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from schemas.needs import Needs

COMMIT = r"^[0-9a-f]{40}$"
ON_THE_HUB = r"^[\w.-]+/[\w.-]+$"

_recording: dict[int, str] | None = None
_read: set[str] = set()


class Section(BaseModel):
    """A part of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    if not TYPE_CHECKING:  # a type checker would take every name for an attribute

        def __getattribute__(self, name: str) -> Any:
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


class BackendParams(Section):
    """The keys that one backend reads of its seam's section, and what it needs; `backend` is a Literal of its name."""

    backend: str

    NEEDS: ClassVar[Needs]
    """what holds whatever the values are"""

    @property
    def needs(self) -> Needs:
        """What the backend needs with these values."""
        return self.NEEDS


def backend_names(kind: type[BackendParams]) -> tuple[str, ...]:
    """Return the names of the backends that read a params class, as its field `backend` lists them."""
    return get_args(kind.model_fields["backend"].annotation)


def section_classes(annotation: Any) -> list[type[Section]]:
    """Return the section classes in a field's annotation: of a union all, of a dict those of its values."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    return [kind for part in get_args(annotation) for kind in section_classes(part)]


def keys_of_backend(union: UnionType) -> Callable[[Any], Any]:
    """Return what leaves of a section, as the file has it, the keys of the class that its `backend` names.

    `union` holds the params classes of a seam. A key of another backend may stand there empty. Raises ValueError for
    one that is set, with the backends that read it, and for an empty one that the chosen backend cannot do without.
    """
    classes: tuple[type[BackendParams], ...] = get_args(union)
    by_name = {name: kind for kind in classes for name in backend_names(kind)}

    def choose(section: Any) -> Any:
        if not isinstance(section, Mapping) or section.get("backend") not in by_name:
            return section
        backend = section["backend"]
        kind = by_name[backend]
        for key, value in section.items():
            readers = sorted(name for name, other in by_name.items() if key in other.model_fields)
            if readers and backend not in readers and not is_empty(value):
                raise ValueError(f"{key} is read by {' and '.join(readers)}, not by {backend}: set it to null")
        strange = [key for key in section if not any(key in other.model_fields for other in classes)]
        lacking = [key for key in _needed_here(kind, classes) if is_empty(section.get(key))]
        if lacking and not strange:
            raise ValueError(f"backend {backend} needs {', '.join(lacking)}: set what is null")
        return {key: value for key, value in section.items() if key in kind.model_fields or key in strange}

    return choose


def _needed_here(kind: type[BackendParams], classes: tuple[type[BackendParams], ...]) -> Iterator[str]:
    """Yield the keys that this class requires and another does not; pydantic tells of those that all require."""
    for key, field in kind.model_fields.items():
        if field.is_required() and not all(
            key in other.model_fields and other.model_fields[key].is_required() for other in classes
        ):
            yield key


def is_empty(value: Any) -> bool:
    """Tell whether nothing is set: null, or a mapping in which nothing is."""
    return value is None or (isinstance(value, Mapping) and all(map(is_empty, value.values())))


def find_url_fault(base_url: str) -> str | None:
    """Return what is wrong with the address of an API, None for a right one."""
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError as fault:
        return f"is no address: {fault}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "must begin with http:// or https:// and name a host, e.g. https://api.openai.com/v1"
    if any(sign.isspace() for sign in base_url):
        return "must hold no blank"
    return None
