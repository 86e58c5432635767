"""`vpo retry` in a repository of its own: DVC runs the stage once more, and what failed alone is bought."""

import json

import pytest

from pipeline.backends.teacher.offline import answer
from tests.support.llm_server import serving
from tests.support.project import TINY, Project

pytestmark = pytest.mark.slow

KEY = {"OPENAI_API_KEY": "sk-of-the-test"}


def test_what_failed_is_asked_again_and_nothing_else_is(tmp_path, laptop):
    with serving(
        lambda model, messages: answer("grammar", messages, 0, laptop.world),
        fault_share=0.1, faults=("odd:network_error",),
    ) as server:  # fmt: skip
        teacher = {"backend": "openai", "model": "m", "base_url": server.base_url, "attempts": 1}
        values = TINY | {f"teacher.{name}": value for name, value in teacher.items()}
        project = Project(tmp_path / "project", tmp_path / "home", values)
        first = project.run("dvc", "repro", "fewshot@sft", **KEY)
        failed = counts(project)["dropped"]["failed"]
        assert failed > 3
        assert (
            f"finished but for {failed} that failed; another day may mend them: vpo retry fewshot@sft" in first.stderr
        )
        fine = (project.path / "data/sft/fewshot.jsonl").read_text().splitlines()

        assert f"fewshot@sft: {failed} failed\n" == vpo(project, "retry", "fewshot@sft", "--dry-run")
        server.fault_share = 0.0  # another day
        server.forget()
        told = vpo(project, "retry", "fewshot@sft")
        assert f"fewshot@sft: {failed} of {failed} mended" in told and "`dvc repro` takes the stages behind" in told
        assert len(server.log) == failed
        assert counts(project)["dropped"] == {
            name: n for name, n in counts(project)["dropped"].items() if name != "failed"
        }
        again = (project.path / "data/sft/fewshot.jsonl").read_text().splitlines()
        assert len(again) == len(fine) + failed and {*fine} < {*again}

        assert vpo(project, "retry", "fewshot@sft") == "nothing failed that another day may mend\n"
        assert "fewshot@sft" not in project.run("dvc", "status", "fewshot@sft", **KEY).stdout


def counts(project):
    return json.loads((project.path / "results/sft/fewshot.json").read_text())


def vpo(project, *words):
    return project.run("python", "-m", "vpo", *words, **KEY).stdout
