"""What README.md and docs/ repeat of the tree is as the tree is."""

import subprocess

from docs.generate import FOLDERS, TOP, file_map, pages
from docs.house import PACKAGES, ROOMS, folder_of


def test_every_generated_part_is_as_the_tree_is(root):
    stale = [path for path, text in pages().items() if (root / path).read_text(encoding="utf-8") != text]
    assert stale == [], "run: make map"


def test_everything_at_the_top_is_on_the_map(root):
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True)
    tops = {name.split("/")[0] for name in files.stdout.splitlines() if (root / name).is_file()}
    shown = {*TOP, *PACKAGES, *(folder.split("/")[0] for folder in FOLDERS)}
    assert {name for name in tops if not name.startswith(".")} <= shown
    assert {name for name in shown if not (root / name).exists()} == set()


def test_every_room_has_a_line_with_words(root):
    lines = file_map().splitlines()[1:-1]
    assert [line for line in lines if len(line.split()) < 2] == []
    for room in ROOMS:
        assert any(line.split()[0] == f"{folder_of(room).rsplit('/', 1)[-1]}/" for line in lines), room


def test_every_room_has_a_page_and_every_page_a_room(root):
    assert {path.stem for path in (root / "docs/rooms").glob("*.md")} == {*ROOMS}


def test_every_folder_of_code_is_a_room(root):
    folders = {path.parent.name for path in (root / "pipeline").glob("*/__init__.py")}
    assert folders <= {*ROOMS}
