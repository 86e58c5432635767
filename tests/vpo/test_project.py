import click
import pytest

from vpo.project import find_project, is_project


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dvc.yaml", "params.yaml"):
        (folder / name).write_text("")
    return folder


def test_the_project_is_the_nearest_folder_above_with_a_graph_and_params(tmp_path):
    root = make(tmp_path / "a")
    (root / "b/c").mkdir(parents=True)
    assert is_project(root) and not is_project(root / "b")
    assert find_project(root / "b/c") == find_project(root) == root


def test_a_recipe_with_a_graph_of_its_own_is_a_part_of_the_project_above(tmp_path):
    root = make(tmp_path / "a")
    assert find_project(make(root / "recipes/tiny")) == root


def test_a_project_that_only_lies_in_a_folder_named_recipes_is_one(tmp_path):
    assert find_project(make(tmp_path / "recipes/tiny")) == tmp_path / "recipes/tiny"


def test_outside_a_project_the_person_is_told(tmp_path):
    with pytest.raises(click.ClickException, match="cd into one"):
        find_project(tmp_path)
