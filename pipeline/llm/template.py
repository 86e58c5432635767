"""The words we send to a model: a template file that a param names, its hash, and the filling of it."""

import hashlib
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pipeline.llm.replies import neutralise
from pipeline.runtime.io import DataError


class Template:
    """A Jinja file. User text enters as a variable, neutralised, and is never evaluated.

    `hash` is 16 hex digits of the SHA-256 of the file's text. Raises DataError for a file that is missing or wrong, or
    that does not read one of `needs`.
    """

    def __init__(self, path: str | Path, needs: tuple[str, ...] = ()):
        self.path = path
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (FileNotFoundError, IsADirectoryError):
            raise DataError(f"{path}: no such template; params.yaml names it") from None
        except UnicodeDecodeError as fault:
            raise DataError(f"{path}: not UTF-8 text: {fault}") from None
        self.hash = hashlib.sha256(text.encode()).hexdigest()[:16]
        # sandboxed, because a template can come along with somebody else's model
        environment = ImmutableSandboxedEnvironment(
            undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        try:
            self._template = environment.from_string(text)
            reads = meta.find_undeclared_variables(environment.parse(text))
        except jinja2.TemplateSyntaxError as fault:
            raise DataError(f"{path}:{fault.lineno}: not a template: {fault.message}") from None
        if lacking := [name for name in needs if name not in reads]:
            raise DataError(f"{path}: the template must read {{{{ {lacking[0]} }}}}")

    def fill(self, **values: Any) -> str:
        """Return the text with `values` in place: strings, and lists and dicts of them. Raises DataError."""
        try:
            return self._template.render({name: _neutralise_all(value) for name, value in values.items()}).strip()
        except jinja2.UndefinedError as fault:
            raise DataError(f"{self.path}: {fault}; it is filled with {', '.join(sorted(values))}") from None
        except jinja2.exceptions.SecurityError as fault:
            raise DataError(f"{self.path}: the template does what it may not: {fault}") from None


def _neutralise_all(value: Any) -> Any:
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, dict):
        return {key: _neutralise_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_neutralise_all(item) for item in value]
    return value
