"""`vpo recipe`: the papers' settings as overlays over params.yaml."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vpo.project import find_project

if TYPE_CHECKING:
    from ruamel.yaml import YAML


@click.group("recipe")
def main() -> None:
    """List, show or use a paper's settings."""


@main.command("list")
def list_recipes() -> None:
    """List the recipes and what each is."""
    for path in recipes(find_project()).values():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        click.echo(f"{path.stem}  {first.lstrip('# ')}")


@main.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe, with the source of each value."""
    click.echo(recipe(find_project(), name).read_text(encoding="utf-8"), nl=False)


@main.command("use")
@click.argument("name")
def use(name: str) -> None:
    """Put a recipe's values into params.yaml, the laptop's where it has none, keeping the comments."""
    from pipeline.runtime.io import replacing
    from pipeline.runtime.params_file import check_params

    root = find_project()
    yaml = round_trip()
    own = yaml.load(recipe(root, name).read_text(encoding="utf-8"))
    overlay = yaml.load(recipe(root, ORIGIN).read_text(encoding="utf-8"))
    list(merge(overlay, own))
    path = root / "params.yaml"
    tree = yaml.load(path.read_text(encoding="utf-8"))
    changes = list(merge(tree, overlay))
    check_params(tree, f"params.yaml with recipe {name}")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    for key, old, new in changes:
        click.echo(f"{key}: {show_value(old)} -> {show_value(new)}")
    click.echo(f"{len(changes)} values changed; `git diff params.yaml` shows them, `dvc repro` runs them", err=True)


def recipes(root: Path) -> dict[str, Path]:
    """Return the files of the recipes by name."""
    return {path.stem: path for path in sorted((root / "recipes").glob("*.yaml"), key=lambda path: path.stem)}


def recipe(root: Path, name: str) -> Path:
    """Return the file of a recipe. Raises ClickException with the names there are."""
    files = recipes(root)
    if name not in files:
        raise click.ClickException(f"no recipe {name}; there are {', '.join(files) or 'none'}")
    return files[name]


ORIGIN = "laptop"
"""the recipe that names every key that another one changes: from its values each begins, whichever was used before"""
WHOLE = {"reward.models", "dpo.arms", "dpo.unchecked", "evaluate.arms"}
"""mappings that a recipe replaces and does not add to: with another recipe's models beside, clips are scored in vain,
and with its arms more is rendered and trained than a paper compares"""


def merge(tree: dict[str, Any], overlay: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object, object]]:
    """Put the overlay's values into `tree`, section by section; yield (key, old, new) of those that differ."""
    for name, value in overlay.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and isinstance(tree.get(name), dict) and key not in WHOLE:
            yield from merge(tree[name], value, f"{key}.")
        elif name not in tree or tree[name] != value:
            yield key, tree.get(name), value
            tree[name] = _plain(value)


def _plain(value: object) -> object:
    """Return lists and mappings without the recipe's own layout and comments."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def show_value(value: object) -> str:
    """Return a value as params.yaml writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def round_trip() -> "YAML":
    """Return a YAML that reads and writes params.yaml without changing a byte of what it does not change."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    return yaml
