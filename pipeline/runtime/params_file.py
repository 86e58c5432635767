"""Reads params.yaml and checks all of it before any work."""

import atexit
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipeline.runtime.params_undo import describe_undo
from schemas.params import Params
from schemas.params_teacher import OPENAI, TeacherParams
from schemas.section import COMMIT, ON_THE_HUB, Section, record, section_classes

option = click.option(
    "--params", "params_path", default="params.yaml", show_default=True, metavar="FILE", help="The params file."
)


class ParamsError(click.ClickException):
    """A wrong params file; the process ends with 2 before any work."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
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
            params = check_params(YAML().load(text), path)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root or name one with --params") from None
    except UnicodeDecodeError as fault:
        raise ParamsError(f"{path}: not UTF-8 text: {fault}") from None
    except YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ParamsError(f"{path}{place}: not YAML: {getattr(fault, 'problem', None) or fault}") from None
    if folder := os.environ.get("VPO_PARAMS_READ"):
        _note_keys_read(params, Path(folder))
    return params


def _note_keys_read(params: Params, folder: Path) -> None:
    """At the end of the process, add the keys it has read to a file named by its stage, for the test of dvc.yaml."""
    read = record(params)
    name = os.environ.get("DVC_STAGE", "stage")

    def write() -> None:
        with (folder / name).open("a") as file:
            file.writelines(f"{key}\n" for key in sorted(read))

    atexit.register(write)


def check_params(tree: Any, path: str | Path) -> Params:
    """Return the params of a parsed file. Raises ParamsError as load_params does."""
    try:
        return Params.model_validate(tree)
    except ValidationError as fault:
        errors = [_in_the_file(tree, error) for error in fault.errors()]
        lines = [_line(path, tree, error) for error in _causes(errors)]
        if undo := describe_undo(path, tree):
            lines.append(undo)
        raise ParamsError("\n".join(lines)) from None


def refuse_same_judge(params: Params) -> None:
    """Raise ParamsError (exit 2) when the judge is the teacher itself: a model favours what it wrote."""
    if not params.evaluate.allow_same_judge and _who(params.judge) == _who(params.teacher):
        raise ParamsError(
            f"judge: {params.judge.backend} {params.judge.model} is the teacher itself, which would judge its own "
            "words; set judge.* to another model, or evaluate.allow_same_judge to true"
        )


def _who(params: TeacherParams) -> tuple[str, str, str]:
    return params.backend, urlsplit(params.needs.address or OPENAI).netloc, params.model


def refuse_unpinned(params: Params) -> None:
    """Raise ParamsError (exit 2) when a model on the Hub could change unseen, before anything is bought for it."""
    needs = {key: section.needs for key, section in params.backends.items()}
    if params.queries.semantic:
        needs["queries.semantic"] = params.queries.semantic.needs
    named = [(key, need.weights) for key, need in needs.items() if need.weights]
    faults = [
        f"{key}.revision: {weights.model} is a model on the Hub; pin it to the 40-hex commit you have the licence for "
        "(its page, Files and versions), or name a folder"
        if re.fullmatch(ON_THE_HUB, weights.model)
        else f"{key}: {weights.model}: no such folder, and no owner/name of a model on the Hub"
        for key, weights in named
        if not Path(weights.model).is_dir()
        and not (re.fullmatch(COMMIT, weights.revision or "") and re.fullmatch(ON_THE_HUB, weights.model))
    ]
    if faults:
        raise ParamsError("\n".join(faults))


def _in_the_file(tree: Any, error: ErrorDetails) -> ErrorDetails:
    """Return an error with the place that it has in the file: the name of the chosen backend is no key there."""
    place: list[int | str] = []
    node = tree
    for part in error["loc"]:
        if isinstance(node, Mapping) and part not in node and part in [*node.values()]:
            continue
        place.append(part)
        try:
            node = node[part]
        except (KeyError, TypeError, IndexError):
            node = None
    error = {**error, "loc": tuple(place)}
    if error["type"].startswith("union_tag"):
        place.append(error["ctx"]["discriminator"].strip("'"))  # backend, or prompts of an arm
    if error["type"] == "union_tag_invalid":
        names = error["ctx"]["expected_tags"].split(", ")
        right = " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
        error |= {"loc": tuple(place), "msg": f"Input should be {right}", "input": error["ctx"]["tag"]}
    elif error["type"] == "union_tag_not_found":
        error |= {"type": "missing", "loc": tuple(place)}
    return error


def _causes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a key is missing where a misspelt one stands in its place: one fault, one line."""
    misspelt = {(*error["loc"][:-1], _nearest(error["loc"])) for error in errors if error["type"] == "extra_forbidden"}
    return [error for error in errors if error["type"] != "missing" or error["loc"] not in misspelt]


def _line(path: str | Path, tree: Any, error: ErrorDetails) -> str:
    location = error["loc"]
    line, column = 1, 1
    keys: list[str] = []
    node = tree
    for part in location:
        try:
            place = node.lc.value(part) if error["type"] != "extra_forbidden" else node.lc.key(part)
            line, column = place[0] + 1, place[1] + 1
            node = node[part]
            keys.append(str(part))
        except (AttributeError, KeyError, TypeError, IndexError):
            keys.append(str(part))
            break
    fault = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = _nearest(location)
        fault = f"unknown key; did you mean {near}?" if near else "unknown key"
    elif error["type"] == "missing":
        fault = "missing; it must stand in the file, null where it does not apply"
    elif not isinstance(error["input"], dict):
        fault += f" (it is {error['input']!r})"
    return f"{path}:{line}:{column}: {'.'.join(keys) or 'the file'}: {fault}"


def _nearest(location: tuple[int | str, ...]) -> str | None:
    """Return the known key that resembles the unknown one most."""
    import difflib

    sections: list[type[Section]] = [Params]
    for part in location[:-1]:
        fields = [section.model_fields[str(part)] for section in sections if str(part) in section.model_fields]
        # under a mapping of sections, such as reward.models, names are free
        if fields:
            sections = [kind for field in fields for kind in section_classes(field.annotation)]
    names = {name.lower(): name for section in sections for name in section.model_fields}
    close = difflib.get_close_matches(str(location[-1]).lower(), list(names), n=1)
    return names[close[0]] if close else None
