"""What the stages of a graph declare of themselves, for whoever plans."""

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from schemas.params import Params
from schemas.stage import Ask, Declaration
from vpo.unroll import Stage


def declaration_of(stage: Stage) -> Declaration | None:
    """Return the STAGE of a stage's module; None where its command is not one of ours.

    Raises ClickException where the module has none: what nobody declares, nobody can plan.
    """
    if not stage.module:
        return None
    try:
        module = importlib.import_module(f"{stage.package}.{stage.module}")
    except ModuleNotFoundError as fault:
        raise click.ClickException(f"{stage.name}: {stage.code_file} cannot be loaded: {fault}") from None
    if not isinstance(declaration := getattr(module, "STAGE", None), Declaration):
        raise click.ClickException(f"{stage.code_file}: STAGE is missing, so a plan cannot know what the stage asks")
    return declaration


def asks_of(stage: Stage, params: Params, seam: str) -> list[Ask]:
    """Return what a stage asks of a seam, by these params and the options of its command."""
    declaration = declaration_of(stage)
    asks = declaration.asks if declaration else ()
    arm = stage.word_after("--arm") or "*"
    return [
        replace(ask, section=ask.section.replace("*", arm))
        for ask in asks
        if ask.seam == seam and ask.when(params, stage.options)
    ]


def section_at(params: Params, path: str) -> Any:
    """Return the section of params that a dotted path names: `judge`, `evaluate.arms.gpt.teacher`."""
    section: Any = params
    for name in path.split("."):
        section = section[name] if isinstance(section, Mapping) else getattr(section, name)
    return section
