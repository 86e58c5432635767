"""`vpo recipe`: the papers' settings as overlays over params.yaml."""

from collections.abc import Iterator
from pathlib import Path

import click

from vpo.project import find_project


@click.group("recipe")
def main():
    """List, show or use a paper's settings."""


@main.command("list")
def list_recipes():
    """List the recipes and what each is."""
    for path in recipes(find_project()).values():
        first = path.read_text(encoding="utf-8").splitlines()[0]
        click.echo(f"{path.stem}  {first.lstrip('# ')}")


@main.command("show")
@click.argument("name")
def show(name):
    """Print a recipe, with the source of each value."""
    click.echo(recipe(find_project(), name).read_text(encoding="utf-8"), nl=False)


@main.command("use")
@click.argument("name")
def use(name):
    """Put a recipe's values into params.yaml, keeping its comments."""
    from pipeline.runtime.io import replacing
    from pipeline.runtime.params_file import check_params

    root = find_project()
    yaml = round_trip()
    overlay = yaml.load(recipe(root, name).read_text(encoding="utf-8"))
    path = root / "params.yaml"
    tree = yaml.load(path.read_text(encoding="utf-8"))
    changes = list(merge(tree, overlay))
    check_params(tree, f"params.yaml with recipe {name}")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yaml.dump(tree, file)
    for key, old, new in changes:
        click.echo(f"{key}: {shown(old)} -> {shown(new)}")
    click.echo(f"{len(changes)} values changed; `git diff params.yaml` shows them, `dvc repro` runs them", err=True)


def recipes(root: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((root / "recipes").glob("*.yaml"))}


def recipe(root: Path, name: str) -> Path:
    """Return the file of a recipe. Raises ClickException with the names there are."""
    found = recipes(root)
    if name not in found:
        raise click.ClickException(f"no recipe {name}; there are {', '.join(found) or 'none'}")
    return found[name]


WHOLE = {"reward.models"}
"""mappings that a recipe replaces and does not add to: with another recipe's models beside, clips are scored in vain"""


def merge(tree, overlay, above: str = "") -> Iterator[tuple[str, object, object]]:
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


def shown(value) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def round_trip():
    """Return a YAML that writes params.yaml as `dvc exp run -S` does, so that neither changes a line of the other's."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    return yaml
