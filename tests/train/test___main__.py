from click.testing import CliRunner

from train.__main__ import STAGES, main


def test_the_door_lists_the_stages_in_the_order_of_the_graph():
    help_text = CliRunner().invoke(main, ["--help"]).output
    places = [help_text.index(f"\n  {stage} ") for stage in STAGES]
    assert STAGES == ["base_model", "sft", "dpo"] and places == sorted(places)


def test_a_stage_that_there_is_not_is_one_clear_error():
    done = CliRunner().invoke(main, ["no_such_stage"])
    assert done.exit_code == 2 and "No such command 'no_such_stage'" in done.output
