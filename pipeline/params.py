"""Reads params.yaml and checks all of it before any work."""

from pathlib import Path

import click
from pydantic import ValidationError

from schemas.params import Params

option = click.option(
    "--params", "params_path", default="params.yaml", show_default=True, metavar="FILE", help="The params file."
)


class ParamsError(click.ClickException):
    """A wrong params file; the process ends with 2 before any work."""

    exit_code = 2

    def show(self, file=None):
        click.echo(self.format_message(), err=True, file=file)


def load_params(path: str | Path = "params.yaml") -> Params:
    """Return the checked params. Raises ParamsError with one line `file:line:column: field: what is right` a fault."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        tree = YAML().load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root or name one with --params") from None
    except UnicodeDecodeError as fault:
        raise ParamsError(f"{path}: not UTF-8 text: {fault}") from None
    except YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{place}: not YAML: {getattr(fault, 'problem', None) or fault}") from None
    try:
        return Params.model_validate(tree)
    except ValidationError as fault:
        raise ParamsError("\n".join(_line(path, tree, error) for error in fault.errors())) from None


def _line(path, tree, error) -> str:
    location = [part for part in error["loc"]]
    line, column, known = 1, 1, []
    node = tree
    for part in location:
        try:
            at = node.lc.value(part) if error["type"] != "extra_forbidden" else node.lc.key(part)
            line, column = at[0] + 1, at[1] + 1
            node = node[part]
            known.append(str(part))
        except (AttributeError, KeyError, TypeError, IndexError):
            known.append(str(part))
            break
    said = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        said = f"unknown key{_nearest(location)}"
    elif error["type"] == "missing":
        said = "missing; it must stand in the file, null where it does not apply"
    elif "input" in error and not isinstance(error["input"], dict):
        said += f" (it is {error['input']!r})"
    return f"{path}:{line}:{column}: {'.'.join(known) or 'the file'}: {said}"


def _nearest(location) -> str:
    """Name the known key that resembles the unknown one most."""
    import difflib

    section = Params
    for part in location[:-1]:
        field = section.model_fields.get(part) if section else None
        kind = field.annotation if field else None
        arguments = getattr(kind, "__args__", ())
        section = next((item for item in (kind, *arguments) if hasattr(item, "model_fields")), None)
    close = difflib.get_close_matches(str(location[-1]), list(section.model_fields) if section else [], n=1)
    return f"; did you mean {close[0]}?" if close else ""
