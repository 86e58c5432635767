import resource
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.support.small_project import ROOT
from vpo.__main__ import COMMANDS, main
from vpo.project import find_project


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_opens_and_its_help_is_its_first_line(name):
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert main.get_command(None, name).help.strip().splitlines()[0] == COMMANDS[name]
    listed = CliRunner().invoke(main, ["--help"], terminal_width=200).stdout
    assert COMMANDS[name] in listed


def test_the_door_opens_in_half_a_second_of_processor_time():
    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    subprocess.run([sys.executable, "-m", "vpo", "--help"], cwd=ROOT, check=True, capture_output=True)
    assert spent() - before < 0.5


def test_the_project_is_found_from_any_folder_in_it(tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).write_text("")
    (tmp_path / "data/sft").mkdir(parents=True)
    assert find_project(tmp_path / "data/sft") == tmp_path.resolve()


def test_an_unknown_command_is_refused():
    assert CliRunner().invoke(main, ["nonsense"]).exit_code == 2


def test_a_command_that_is_nearly_right_is_named():
    done = CliRunner().invoke(main, ["optimise"])
    assert done.exit_code == 2 and "no command optimise; did you mean optimize?" in done.output
    assert "there are sql, clips, " in CliRunner().invoke(main, ["zzz"]).output


def test_help_and_version_have_short_ways():
    assert "Commands:" in CliRunner().invoke(main, ["-h"]).output
    assert CliRunner().invoke(main, ["--version"]).output.startswith("vpo")
    assert "Usage: main sql" in CliRunner().invoke(main, ["sql", "-h"]).output
