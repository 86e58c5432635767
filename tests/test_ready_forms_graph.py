"""Ready sets in every form that people bring: the whole default graph goes on to a table of each."""

import json

import pytest

from pipeline.runtime.io import read_rows
from pipeline.runtime.set_aside import read_set_aside
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from tests.support.graph_in_process import change_params, list_behind, make_project, run_stages
from tests.support.project import TINY
from tests.support.ready_files import DPO, SFT, TRIPLES, write_dpo, write_sft
from vpo.graph import read_graph

pytestmark = pytest.mark.slow  # together they take a minute

LEAST = TINY | {
    "world.queries": 300, "queries.sft": 20, "queries.sft_safety": 4, "queries.dpo": 6, "queries.dpo_safety": 2,
    "queries.test": 5, "queries.test_safety": 2, "base_model.steps": 10, "sft.max_steps": 2, "dpo.train.max_steps": 2,
    "rollout.max_new_tokens": 24, "optimize.max_new_tokens": 24, "evaluate.bootstrap": 100,
}  # fmt: skip
"""a policy that has learned nothing: what is looked at is whether every stage ends"""
FORMS = [(sft, list(DPO)[place % len(DPO)]) for place, sft in enumerate(SFT)]
FORMS += [(list(SFT)[place % len(SFT)], dpo) for place, dpo in enumerate(DPO) if dpo not in dict(map(reversed, FORMS))]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project where all of the graph has run once with a ready D_SFT and D_dpo of ours."""
    folder = tmp_path_factory.mktemp("forms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VPO_HOME", str(folder / "home"))
        project = make_project(folder / "project", LEAST)
        bring(project, "ours.jsonl", "ours.jsonl")
        run_stages(project)
        yield project


def bring(project, sft, dpo):
    """Put a ready set of each kind into the project, as the README's command names them."""
    for name in ("sft", "dpo"):
        (project / f"data/raw/{name}").mkdir(exist_ok=True)
    write_sft(project / "data/raw/sft", sft)
    write_dpo(project / "data/raw/dpo", dpo)
    change_params(project, {"d_sft.path": f"data/raw/sft/{sft}", "d_dpo.path": f"data/raw/dpo/{dpo}"})


@pytest.mark.parametrize(("sft", "dpo"), FORMS)
def test_the_default_graph_makes_a_table_of_ready_sets_in_this_form(project, sft, dpo):
    bring(project, sft, dpo)
    (project / "results/evaluate.md").unlink()
    run_stages(project, list_behind(read_graph(project), ("d_sft", "d_dpo")))
    rows = list(read_rows(project / "data/sft/d_sft.jsonl", DSft))
    pairs = list(read_rows(project / "data/dpo/d_dpo.jsonl", DDpo))
    assert [(row.query, row.prompt) for row in rows] == [(query, better) for query, better, _ in TRIPLES]
    assert [(pair.query, pair.chosen, pair.rejected) for pair in pairs] == TRIPLES
    assert {*json.loads((project / "results/evaluate/all.json").read_text())["arms"]} == {
        "original",
        "fewshot",
        "base",
        "sft",
        "dpo",
    }
    assert "| metric | original | fewshot | base | sft | dpo |" in (project / "results/evaluate.md").read_text()
    assert "no pairs, so nothing to train on" in str(read_set_aside(project / "data/models/dpo_no_text"))
