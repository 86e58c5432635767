"""A stage that no plan can count, in a copy of the project."""

import json

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.slow

POLISH = '''"""x, p -> p: said once more."""

from schemas.fewshot import Fewshot
from schemas.stage import Ask, Declaration

STAGE = Declaration(reads=(Fewshot,), row=Fewshot, unit="prompt", asks=(Ask("teacher", "teacher"),))
'''
ENTRIES = """
  polish:
    cmd: python -m pipeline polish data/sft/fewshot.jsonl data/sft/polish.jsonl
    deps: [data/sft/fewshot.jsonl]
    outs: [data/sft/polish.jsonl]
  critique_polished:
    cmd: python -m pipeline critique data/sft/polish.jsonl data/sft/critique_polished.jsonl
    deps: [data/sft/polish.jsonl]
    outs: [data/sft/critique_polished.jsonl]
"""
PAID = {
    "teacher.backend": "openai", "teacher.model": "m", "teacher.base_url": "http://127.0.0.1:9/v1",
    "teacher.usd_per_million_input_tokens": 1.0, "teacher.usd_per_million_output_tokens": 1.0,
    "teacher.budget_usd": 100.0,
}  # fmt: skip
UNCOUNTED = ("polish", "critique_polished")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("polish")
    project = Project(folder / "project", folder / "home")
    (project.path / "pipeline/polish.py").write_text(POLISH)
    graph = project.path / "dvc.yaml"
    graph.write_text(graph.read_text().replace("\nstages:\n", f"\nstages:{ENTRIES}", 1))
    return project


def plan(project):
    made = json.loads(project.run("python", "-m", "vpo", "plan", "--no-dvc", "--json").stdout)
    return {row["stage"]: row for row in made["stages"]}, made["totals"][0]


def test_what_an_offline_teacher_is_asked_costs_nothing_also_where_nobody_counts_it(project):
    rows, total = plan(project)
    for name in UNCOUNTED:
        assert (rows[name]["calls"], rows[name]["to_buy"], rows[name]["usd"]) == (None, 0, 0)
    assert (total["calls"], total["usd"], total["uncounted"]) == (None, 0, [])


def test_a_paid_stage_that_no_plan_can_count_is_unknown_and_so_is_the_total(project):
    project.set(PAID)
    rows, total = plan(project)
    for name in UNCOUNTED:
        for figure in ("rows", "calls", "in_store", "to_buy", "input_tokens", "output_tokens", "usd"):
            assert rows[name][figure] is None, (name, figure)
    assert rows["critique@sft"]["to_buy"] > 0
    assert total["uncounted"] == [*UNCOUNTED]
    assert (total["calls"], total["to_buy"], total["usd"], total["enough"]) == (None, None, None, None)
    text = project.run("python", "-m", "vpo", "plan", "--no-dvc").stdout
    assert total["usd_at_least"] > 0
    assert (
        f"teacher m: at least ${total['usd_at_least']:.2f}; unknown: no plan can count what polish, critique_polished "
        "will ask" in text
    )
    (line,) = [line for line in text.splitlines() if line.startswith("│ polish")]
    assert line.count("?") == 6 and "unknown" in line


def test_a_prompt_that_is_shortened_is_asked_about_and_not_counted(project):
    project.set(PAID | {"render.long_prompts": "shorten"})
    rows, total = plan(project)
    assert rows["render@dpo"]["to_buy"] is None and "render@dpo" in total["uncounted"]
