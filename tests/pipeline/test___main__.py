"""The graph's door."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from docs.house import ROOT
from pipeline.__main__ import STAGES, main


def test_the_door_lists_every_stage():
    shown = CliRunner().invoke(main, ["--help"]).output
    assert [name for name in STAGES if f"\n  {name} " not in shown] == []


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_opens(name):
    assert CliRunner().invoke(main, [name, "--help"]).output.startswith(f"Usage: main {name} ")


def test_what_is_no_stage_is_refused():
    result = CliRunner().invoke(main, ["runtime"])
    assert result.exit_code == 2 and "No such command 'runtime'" in result.output


def test_without_the_environment_the_door_says_how_to_activate_it_and_ends_with_2():
    code = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('pipeline', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "activate the environment first: source .venv/bin/activate (make setup creates it)" in done.stderr
