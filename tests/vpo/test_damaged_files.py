"""Files against the hashes of dvc.lock."""

import hashlib
import json
import subprocess

import pytest

from pipeline.runtime.io import write_json
from vpo.damaged_files import (
    find_changed_files,
    find_corrupt_objects,
    find_unignored,
    hash_path,
    object_path,
    read_listing,
    read_locked_files,
)
from vpo.graph import read_graph

DATA = "8d777f385d3dfec8815d20f7496026dc"
"""md5 of "data" """
LISTING = f'[{{"md5": "{DATA}", "relpath": "a"}}, {{"md5": "{DATA}", "relpath": "b/c"}}]'
FOLDER = f"{hashlib.md5(LISTING.encode()).hexdigest()}.dir"


@pytest.fixture
def project(tmp_path):
    """One stage with a file and a folder, both in the cache."""
    (tmp_path / "dvc.yaml").write_text("stages: {a: {cmd: python -m pipeline params x, outs: [data/one, data/many]}}")
    (tmp_path / "params.yaml").write_text("a: 1\n")
    for name in ("data/one", "data/many/a", "data/many/b/c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("data")
    for md5, content in ((DATA, "data"), (FOLDER, LISTING)):
        path = object_path(tmp_path / "cache", md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    outs = [{"path": "data/one", "md5": DATA}, {"path": "data/many", "md5": FOLDER}]
    write_json(tmp_path / "dvc.lock", {"schema": "2.0", "stages": {"a": {"cmd": "x", "outs": outs}}})
    return tmp_path


def changed(project):
    return find_changed_files(project, read_graph(project), project / "cache")


def test_a_folder_has_the_hash_that_dvc_gives_it(project):
    assert json.loads(LISTING)[1]["relpath"] == "b/c"
    assert (hash_path(project / "data/one"), hash_path(project / "data/many")) == (DATA, FOLDER)


def test_a_file_that_is_not_the_one_of_the_lock_is_named_wherever_it_lies(project):
    assert changed(project) == []
    (project / "data/one").write_text("dato")
    (project / "data/many/b/c").write_text("dat")
    (project / "data/many/stray").write_text("")
    assert changed(project) == ["data/one", "data/many/b/c", "data/many/stray"]


def test_what_is_not_there_has_not_changed(project):
    (project / "data/one").unlink()
    (project / "data/many/a").unlink()
    assert changed(project) == []


def test_without_its_listing_a_folder_is_compared_as_a_whole(project):
    object_path(project / "cache", FOLDER).write_text("[]")
    assert changed(project) == []
    (project / "data/many/a").write_text("dato")
    assert changed(project) == ["data/many"]


@pytest.mark.parametrize("md5", [DATA, FOLDER])
def test_an_object_that_is_not_what_its_name_says_is_found(project, md5):
    graphs = [read_graph(project)]
    assert find_corrupt_objects(project, graphs, project / "cache") == []
    path = object_path(project / "cache", md5)
    path.write_text("else")
    assert find_corrupt_objects(project, graphs, project / "cache") == [path]


def test_outputs_that_git_would_take_in_are_named(project):
    graphs = [read_graph(project)]
    assert find_unignored(project, graphs) == []  # no git
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    assert find_unignored(project, graphs) == ["data/one", "data/many"]
    (project / ".gitignore").write_text("/data/*\n")
    assert find_unignored(project, graphs) == []


def test_every_file_of_the_lock_is_named_with_the_output_it_lies_in(project):
    cache = project / "cache"
    assert list(read_locked_files(project, read_graph(project), cache)) == [
        ("data/one", DATA, "data/one"), ("data/many/a", DATA, "data/many"), ("data/many/b/c", DATA, "data/many"),
    ]  # fmt: skip
    assert read_listing(cache, DATA) == [] and read_listing(cache, "0" * 32 + ".dir") == []
    assert [item["relpath"] for item in read_listing(cache, FOLDER)] == ["a", "b/c"]
    assert object_path(cache, FOLDER) == cache / "files/md5" / FOLDER[:2] / FOLDER[2:]
    lock = {"stages": {"a": {"outs": [{"path": "x"}, {"path": "y", "md5": "12"}]}, "b": {}}}
    write_json(project / "dvc.lock", lock)
    assert list(read_locked_files(project, read_graph(project), cache)) == [("y", "12", "y")]


def test_the_files_of_a_folder_stand_in_the_order_of_their_paths_parts(tmp_path):
    for name in ("a-b/x", "a/x", "a.txt", "b"):
        (tmp_path / "f" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "f" / name).write_text("data")
    listing = [{"md5": DATA, "relpath": name} for name in ("a/x", "a-b/x", "a.txt", "b")]
    assert hash_path(tmp_path / "f") == f"{hashlib.md5(json.dumps(listing).encode()).hexdigest()}.dir"


def test_strays_are_named_by_the_order_of_their_outputs(project):
    lines = [{"md5": DATA, "relpath": "a"}]
    listing = json.dumps(lines)
    md5 = f"{hashlib.md5(listing.encode()).hexdigest()}.dir"
    object_path(project / "cache", md5).parent.mkdir(parents=True, exist_ok=True)
    object_path(project / "cache", md5).write_text(listing)
    folders = ("data/z", "data/b", "data/m")
    for folder in folders:
        (project / folder).mkdir()
        for name in ("a", "stray"):
            (project / folder / name).write_text("data")
    outs = [{"path": folder, "md5": md5} for folder in folders]
    write_json(project / "dvc.lock", {"stages": {"a": {"cmd": "x", "outs": outs}}})
    assert changed(project) == [f"{folder}/stray" for folder in sorted(folders)]
