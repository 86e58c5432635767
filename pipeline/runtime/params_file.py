"""Reads params.yaml and checks all of it before any work."""

import atexit
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from schemas.params import Params, TeacherParams
from schemas.section import COMMIT, ON_THE_HUB, record

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
        text = Path(path).read_text(encoding="utf-8")
        try:
            # in C, six times as fast, and without the places that an error names
            params = Params.model_validate(YAML(typ="safe").load(text))
        except (YAMLError, ValidationError):
            params = checked(YAML().load(text), path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root or name one with --params") from None
    except UnicodeDecodeError as fault:
        raise ParamsError(f"{path}: not UTF-8 text: {fault}") from None
    except YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{place}: not YAML: {getattr(fault, 'problem', None) or fault}") from None
    if folder := os.environ.get("VPO_PARAMS_READ"):
        _tell_what_is_read(params, Path(folder))
    return params


def _tell_what_is_read(params: Params, folder: Path) -> None:
    """At the end of the process, add the keys it has read to a file named by its stage, for the test of dvc.yaml."""
    read = record(params)
    name = os.environ.get("DVC_STAGE", "stage")

    def write():
        with (folder / name).open("a") as file:
            file.writelines(f"{key}\n" for key in sorted(read))

    atexit.register(write)


def checked(tree, path: str | Path) -> Params:
    """Return the params of a parsed file. Raises ParamsError as load_params does."""
    try:
        return Params.model_validate(tree)
    except ValidationError as fault:
        raise ParamsError("\n".join(_line(path, tree, error) for error in _causes(fault.errors()))) from None


def refuse_same_judge(params: Params) -> None:
    """Raise ParamsError (exit 2) when the judge is the teacher itself: a model favours what it wrote."""
    if not params.evaluate.allow_same_judge and _who(params.judge) == _who(params.teacher):
        raise ParamsError(
            f"judge: {params.judge.backend} {params.judge.model} is the teacher itself, which would judge its own "
            "words; set judge.* to another model, or evaluate.allow_same_judge to true"
        )


def _who(params: TeacherParams) -> tuple[str, str, str]:
    return params.backend, urlsplit(params.base_url or "https://api.openai.com").netloc, params.model


def refuse_unpinned(params: Params) -> None:
    """Raise ParamsError (exit 2) when a model on the Hub could change unseen, before anything is bought for it."""
    named = [("base_model", params.base_model.name, params.base_model)] if params.base_model.backend == "hub" else []
    if params.render.backend == "diffusers":
        named.append(("render", params.render.model, params.render))
    for name, model in params.reward.models.items():
        if not model.backend.startswith("offline"):
            named.append((f"reward.models.{name}", model.model, model))
    faults = [
        f"{key}.revision: {name} is a model on the Hub; pin it to the 40-hex commit you have the licence for (its "
        "page, Files and versions), or name a folder"
        if re.fullmatch(ON_THE_HUB, name or "")
        else f"{key}: {name}: no such folder, and no owner/name of a model on the Hub"
        for key, name, section in named
        if not Path(name or "").is_dir()
        and not (re.fullmatch(COMMIT, section.revision or "") and re.fullmatch(ON_THE_HUB, name or ""))
    ]
    if faults:
        raise ParamsError("\n".join(faults))


def _causes(errors: list) -> list:
    """Leave out that a key is missing where a misspelt one stands in its place: one fault, one line."""
    misspelt = {(*error["loc"][:-1], _nearest(error["loc"])) for error in errors if error["type"] == "extra_forbidden"}
    return [error for error in errors if error["type"] != "missing" or error["loc"] not in misspelt]


def _keys(tree, location) -> list:
    """Return the keys of a fault's place; where a kind decides which fields there are, pydantic names it there too."""
    keys, node = [], tree
    for part in location:
        if isinstance(node, dict) and part not in node and part in node.values():
            continue
        keys.append(part)
        node = node.get(part) if isinstance(node, dict) else None
    return keys


def _line(path, tree, error) -> str:
    location = _keys(tree, error["loc"])
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
        near = _nearest(location)
        said = f"unknown key; did you mean {near}?" if near else "unknown key"
    elif error["type"] == "missing":
        said = "missing; it must stand in the file, null where it does not apply"
    elif "input" in error and not isinstance(error["input"], dict):
        said += f" (it is {error['input']!r})"
    return f"{path}:{line}:{column}: {'.'.join(known) or 'the file'}: {said}"


def _nearest(location) -> str | None:
    """Return the known key that resembles the unknown one most."""
    import difflib

    section = Params
    for part in location[:-1]:
        field = section.model_fields.get(part) if section else None
        kind = field.annotation if field else None
        section = next((item for item in (kind, *getattr(kind, "__args__", ())) if hasattr(item, "model_fields")), None)
    known = {name.lower(): name for name in section.model_fields} if section else {}
    close = difflib.get_close_matches(str(location[-1]).lower(), list(known), n=1)
    return known[close[0]] if close else None
