"""Plans of what a GPU would do in a small project, and the stages that then do it."""

from pathlib import Path

from click.testing import CliRunner

from pipeline import critique, render, reward
from pipeline.runtime.io import write_rows
from pipeline.runtime.params_file import load_params
from pipeline.runtime.store import Store
from schemas.rollout import Rollout
from tests.support.small_project import ROOT, prompt, queries, small_project, write_params
from vpo.planning.estimate import Planner
from vpo.planning.gpu import GpuPlanner

DPO = ("data/dpo/rollout.jsonl", "data/dpo/critique.jsonl", "data/dpo/render.parquet", "data/dpo/reward.parquet")
LONG = (
    ", in soft morning light, while the camera slowly glides closer and keeps calm; the colours are warm, the "
    "background is quiet, every detail is sharp, and the whole scene stays steady from the first moment to the last."
)


def link_parts(folder: Path) -> Path:
    """Write a small project with the parts of the tree that a plan reads into `folder`; return it."""
    (folder / "pipeline").mkdir(parents=True)
    small_project(folder)
    for name in ("templates", "backends"):
        (folder / "pipeline" / name).symlink_to(ROOT / "pipeline" / name)
    (folder / "questions.jsonl").write_text((ROOT / "pipeline/backends/reward/questions.jsonl").read_text())
    return folder


def write_rollouts(umbrellas: tuple[str, str] = ("a red", "two blue")) -> None:
    """Two prompts a query, long enough for the offline critic, but for those of the query that is not harmless."""
    rollouts = [
        Rollout(**prompt(row, "sft", f" with {umbrellas[k]} umbrella{LONG}", k))
        for row in queries("dpo")
        for k in range(2)
    ]
    write_rows(Path(DPO[0]), rollouts, Rollout)


def write(**sections):
    sections.setdefault("queries", {"source": "file", "path": "none.jsonl"})
    sections.setdefault("reward", {"replicate": 0.0})
    return write_params(Path(), **sections)


def rows(changed=None, store=None):
    """Return the rows by (stage, model), and by stage where there is one model."""
    planner = Planner(load_params("params.yaml"), store or Store(), changed)
    planner.estimates()
    found = GpuPlanner(planner).rows()
    return {(row.stage, row.model): row for row in found} | {row.stage: row for row in found}


def run(stage, *arguments):
    done = CliRunner().invoke(stage.main, arguments)
    assert done.exit_code == 0, done.output


def make(*stages):
    rollouts, verdicts, clips, scores = DPO
    for stage in stages:
        if stage is critique:
            run(critique, rollouts, verdicts)
        elif stage is render:
            run(render, "--replicate", "--critique", verdicts, rollouts, clips)
        else:
            run(reward, clips, scores)
