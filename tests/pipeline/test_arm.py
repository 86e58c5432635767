import json

import pytest
from click.testing import CliRunner

from pipeline.arm import arm, main
from pipeline.runtime.io import DataError
from pipeline.runtime.set_aside import write_set_aside
from schemas.params import FileArmParams, LlmArmParams, PolicyArmParams
from tests.support.small_project import write_params


def test_another_prompt_file_is_another_revision(tmp_path):
    path = tmp_path / "mine.csv"
    description = FileArmParams(prompts="file", source=str(path))
    path.write_text("query,prompt\na fox,One.\n")
    before = arm(description, "none")
    path.write_text("query,prompt\na fox,Two.\n")
    assert before["revision"] != arm(description, "none")["revision"]
    assert (before["prompts"], before["source"]) == ("file", str(path))


def test_a_models_card_changes_nothing_and_its_weights_do(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    description = PolicyArmParams(prompts="policy", source=str(tmp_path))
    before = arm(description, "none")
    (tmp_path / "README.md").write_text("prose")
    assert arm(description, "none") == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert arm(description, "none") != before


def test_an_llms_prompts_hang_on_the_exemplars_too(tmp_path):
    template, exemplars = tmp_path / "t.jinja", tmp_path / "e.jsonl"
    template.write_text("{{ query }}")
    exemplars.write_text("1")
    teacher = {"backend": "offline", "model": "grammar"}
    description = LlmArmParams(prompts="llm", source=str(template), teacher=teacher)
    before = arm(description, str(exemplars))
    exemplars.write_text("2")
    assert arm(description, str(exemplars)) != before


def test_a_source_that_is_not_there_is_said_plainly(tmp_path):
    with pytest.raises(DataError, match="evaluate.arms names it"):
        arm(FileArmParams(prompts="file", source=str(tmp_path / "none.csv")), "none")


def test_the_stage_writes_one_file_an_arm(tmp_path, vpo_home):
    params, out = write_params(tmp_path), tmp_path / "data/arms/original.json"
    done = CliRunner().invoke(main, ["--arm", "original", str(out), "--params", str(params)])
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())["prompts"] == "query"
    done = CliRunner().invoke(main, ["--arm", "nobody", str(out), "--params", str(params)])
    assert done.exit_code == 2 and "evaluate.arms has no nobody; it has original, dpo" in done.output


def test_an_arm_that_was_set_aside_stands_on_its_reason(tmp_path):
    folder = tmp_path / "dpo_no_text"
    revisions = []
    for why in ("no pairs", "no pairs", "another"):
        write_set_aside(folder, why)
        revisions.append(arm(PolicyArmParams(prompts="policy", source=str(folder)), "")["revision"])
    assert revisions[0] == revisions[1] != revisions[2]
