import pytest
from click.testing import CliRunner

from pipeline.runtime.io import write_rows
from schemas.base import Dropped
from tests.support.small_project import ROOT
from vpo import retry


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project without data whose stages are written down in place of being run."""
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def drop(project, path, *reasons):
    rows = [Dropped(input_id=str(number), reason=reason) for number, reason in enumerate(reasons)]
    write_rows(project / path, rows, Dropped)


def run(*words):
    return CliRunner().invoke(retry.main, [*words, "--dry-run"])


def test_only_what_failed_is_counted(project):
    drop(project, "data/sft/critique_dropped.jsonl", "failed", "refused", "failed", "truncated")
    drop(project, "data/sft/fewshot_dropped.jsonl", "refused")
    assert run().output == "critique@sft: 2 failed\n"
    assert run("critique@dpo").output == "nothing failed that another day may mend\n"


def test_a_query_that_an_arms_source_has_no_prompt_for_is_no_failure(project):
    drop(project, "data/eval/test/fewshot/rollout_dropped.jsonl", "failed")
    drop(project, "data/eval/test/sft/rollout_dropped.jsonl", "failed")
    assert run().output == "rollout_eval@test-sft: 1 failed\n"


def test_a_stage_that_there_is_not_is_named(project):
    assert "no stage critik" in run("critik").output
