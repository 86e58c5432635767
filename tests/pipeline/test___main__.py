"""The graph's door."""

import pytest
from click.testing import CliRunner

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
