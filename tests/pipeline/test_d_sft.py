import json

import pytest
from click.testing import CliRunner

from pipeline.d_sft import d_sft, main
from pipeline.runtime.io import read_rows
from pipeline.text.ready_records import hash_file
from schemas.d_sft import DSft
from tests.support.ready_files import SFT, TRIPLES, write_ready, write_sft
from tests.support.rows import critique_row, refine_row


def test_a_good_prompt_is_kept():
    (row,) = d_sft([critique_row()], {})
    assert (row.prompt, row.refined, row.written_by.model) == ("A dog runs.", False, "grammar")


def test_a_flawed_prompt_gives_way_to_its_refinement():
    better = refine_row()
    (row,) = d_sft([critique_row(violated=("accurate",))], {better.prompt_id: better})
    assert (row.prompt, row.prompt_id, row.refined) == ("A better dog runs.", better.p_refined_id, True)
    assert row.violated == ("accurate",)


def test_a_flawed_prompt_without_refinement_is_dropped():
    flawed = critique_row(violated=("harmless",))
    (dropped,) = d_sft([flawed], {})
    assert (dropped.input_id, dropped.reason) == (flawed.query_id, "not_refined")


@pytest.mark.parametrize("name", SFT)
def test_a_ready_d_sft_is_the_same_in_every_form(root, tmp_path, name):
    path = write_sft(tmp_path, name)
    text = (root / "params.yaml").read_text().replace("d_sft:\n  path:", f"d_sft:\n  path: {path}")
    (tmp_path / "params.yaml").write_text(text.replace("pipeline/templates/", f"{root}/pipeline/templates/"))
    out = tmp_path / "data/sft/d_sft.jsonl"
    done = CliRunner().invoke(main, ["no", "no", str(out), "--params", str(tmp_path / "params.yaml")])
    assert done.exit_code == 0, done.output
    assert [(row.query, row.prompt) for row in read_rows(out, DSft)] == [triple[:2] for triple in TRIPLES]
    metrics = json.loads((tmp_path / "results/sft/d_sft.json").read_text())
    assert (metrics["units_in"], metrics["units_done"], metrics["refined"]) == (len(TRIPLES), len(TRIPLES), 0)
    assert metrics["source_sha256"] == hash_file(path)


def test_a_ready_row_that_is_dropped_came_in_too(root, tmp_path):
    records = [{"query": "a dog", "prompt": "A dog runs."}, {"query": "a cat", "prompt": "A cat."},
               {"query": "a cat", "prompt": "A cat."}]  # fmt: skip
    path = write_ready(tmp_path, "ours.jsonl", records)
    text = (root / "params.yaml").read_text().replace("d_sft:\n  path:", f"d_sft:\n  path: {path}")
    (tmp_path / "params.yaml").write_text(text.replace("pipeline/templates/", f"{root}/pipeline/templates/"))
    out = tmp_path / "data/sft/d_sft.jsonl"
    done = CliRunner().invoke(main, ["no", "no", str(out), "--params", str(tmp_path / "params.yaml")])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "results/sft/d_sft.json").read_text())
    assert (metrics["units_in"], metrics["units_done"], metrics["dropped"]) == (3, 2, {"duplicate": 1})
