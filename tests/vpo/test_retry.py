import pytest
from click import ClickException
from click.testing import CliRunner

from pipeline.runtime.io import write_rows
from schemas.base import Dropped
from schemas.rollout import Rollout
from tests.support.small_project import ROOT, prompt, queries
from vpo import retry
from vpo.graph import read_graph


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


def test_what_was_served_in_place_of_a_failed_prompt_counts_too(project):
    drop(project, "data/eval/test/sft/rollout_dropped.jsonl", "failed", "refused")
    rows = [Rollout(**prompt(row, "sft", "."), suite="test") for row in queries("test")]
    failures = ("failed", "truncated", None)
    rows = [row.model_copy(update={"served": "query" if failure else "prompt", "failure": failure})
            for row, failure in zip(rows, failures, strict=False)]  # fmt: skip
    write_rows(project / "data/eval/test/sft/rollout.jsonl", rows, Rollout)
    assert run().output == "rollout_eval@test-sft: 2 failed\n"


@pytest.fixture
def dvc(tmp_path):
    """Return what writes down how it was called, and ends with a status."""

    def make(status):
        path = tmp_path / "dvc"
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho $PWD >> {tmp_path}/calls\nexit {status}\n')
        path.chmod(0o755)
        return path

    return make


@pytest.mark.parametrize("status", [0, 3])
def test_dvc_runs_the_one_stage_though_no_file_has_changed(project, dvc, status):
    path = dvc(status)
    graph = read_graph(project)
    if status:
        with pytest.raises(ClickException, match="critique@sft ended with an error, told above; what was bought"):
            retry.run_again(project, graph, "critique@sft", path)
    else:
        retry.run_again(project, graph, "critique@sft", path)
    assert (path.parent / "calls").read_text().splitlines() == [
        "repro --force --single-item critique@sft", str(project),
    ]  # fmt: skip
