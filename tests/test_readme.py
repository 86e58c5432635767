"""What the README repeats is generated; its commands exist."""

import re
from pathlib import Path

from vpo.__main__ import COMMANDS
from vpo.graph import read_graphs
from vpo.stages import markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_stage_table_is_that_of_the_graph():
    shown = re.search(r"<!-- stages.*?-->\n(.*?)\n<!-- /stages -->", README, re.S)[1]
    assert shown == markdown(read_graphs(ROOT)), "run: vpo stages --md, and put it between the marks"


def test_every_command_it_names_exists():
    named = set(re.findall(r"^vpo ([\w-]+)", README, re.M)) | set(re.findall(r"`vpo ([\w-]+)", README))
    assert named and named <= set(COMMANDS)


def test_every_make_target_it_names_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.M)) <= targets


def test_every_picture_it_shows_is_there():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
