import click
import pytest

from pipeline.critique import STAGE as CRITIQUE
from schemas.stage import row_class
from tests.support.small_project import ROOT
from vpo.graph import read_graph
from vpo.planning.declarations import asks_of, declaration_of
from vpo.unroll import Unroller

GRAPH = read_graph(ROOT)


def sections(name, params, seam="teacher"):
    return [ask.section for ask in asks_of(GRAPH.stages[name], params, seam)]


def test_a_stage_declares_itself_in_its_module():
    assert declaration_of(GRAPH.stages["critique@dpo"]) is CRITIQUE


@pytest.mark.parametrize("name", GRAPH.entries)
def test_the_row_that_a_stage_declares_is_the_one_that_its_name_leads_to(name):
    entry = GRAPH.entries[name]
    row = row_class(entry.module) if entry.package == "pipeline" else None
    assert declaration_of(entry.stages[0]).row is row


@pytest.mark.parametrize("name", GRAPH.stages)
def test_a_stage_reads_the_rows_that_the_stages_before_it_write(name):
    stage = GRAPH.stages[name]
    written = {declaration_of(maker).row for dep in stage.deps if (maker := GRAPH.maker(dep))} - {None}
    reads = declaration_of(stage).reads
    assert all(issubclass(row, reads) for row in written)


def test_the_option_of_a_command_says_who_is_asked(laptop):
    assert sections("critique@dpo", laptop) == ["teacher"]
    assert sections("critique_eval@test-dpo", laptop) == ["judge"]
    assert sections("d_dpo", laptop) == []


def test_a_param_says_whether_a_seam_is_asked(laptop):
    assert sections("render@dpo", laptop) == [] and sections("render@dpo", laptop, "renderer") == ["render"]
    shorter = laptop.model_copy(update={"render": laptop.render.model_copy(update={"long_prompts": "shorten"})})
    assert sections("render@dpo", shorter) == ["teacher"]


def test_arms_whose_prompts_are_there_ask_no_policy(laptop):
    asked = {name: sections(name, laptop, "policy") for name in ("rollout@dpo", *GRAPH.stages) if "rollout" in name}
    assert asked == {
        "rollout@dpo": ["policy"], "rollout_eval@test-original": [], "rollout_eval@test-fewshot": [],
        "rollout_eval@test-base": ["policy"], "rollout_eval@test-sft": ["policy"],
        "rollout_eval@test-dpo_no_text": ["policy"], "rollout_eval@test-dpo_video_only": ["policy"],
        "rollout_eval@test-dpo": ["policy"],
    }  # fmt: skip


def stage_of(command):
    (stage,) = Unroller("", "", {}).entry("x", {"cmd": command}).stages
    return stage


def test_a_command_that_is_not_ours_asks_nothing_that_we_know(laptop):
    assert declaration_of(stage_of("touch x")) is None and asks_of(stage_of("touch x"), laptop, "teacher") == []


def test_a_module_that_says_nothing_of_itself_is_an_error():
    with pytest.raises(click.ClickException, match="pipeline/__main__.py: STAGE is missing"):
        declaration_of(stage_of("python -m pipeline __main__ a/b"))
    with pytest.raises(click.ClickException, match="pipeline/none.py cannot be loaded"):
        declaration_of(stage_of("python -m pipeline none a/b"))
