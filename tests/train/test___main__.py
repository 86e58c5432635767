import subprocess
import sys

from click.testing import CliRunner

from docs.house import ROOT
from train.__main__ import STAGES, main


def test_the_door_lists_the_stages_in_the_order_of_the_graph():
    help_text = CliRunner().invoke(main, ["--help"]).output
    places = [help_text.index(f"\n  {stage} ") for stage in STAGES]
    assert STAGES == ["base_model", "sft", "dpo"] and places == sorted(places)


def test_a_stage_that_there_is_not_is_one_clear_error():
    done = CliRunner().invoke(main, ["no_such_stage"])
    assert done.exit_code == 2 and "No such command 'no_such_stage'" in done.output


def test_without_the_environment_the_door_says_how_to_activate_it_and_ends_with_2():
    code = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('train', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert "activate the environment first: source .venv/bin/activate (make setup creates it)" in done.stderr
