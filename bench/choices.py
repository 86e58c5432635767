"""What our own guesses do: each constant of params.yaml that is ours and shapes data, varied over further values.

`python -m bench.choices FILE [--folder FOLDER] [--minutes 45]` writes bench/results/choices.md. FILE is a list of real
queries, of which counts alone enter the page. There every value runs stage `queries`; on the demo every value runs as
much of the graph as it changes, one constant after the other until the CPU minutes are spent. Finished values are
kept in FOLDER, so that a second call on the same code goes on.
"""

import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from bench.choices_page import SPLITS, Measured, compose_page, spell
from bench.page import PARTS, read_basis, write_page
from bench.project import ROOT, clone, hashes, load_yaml, run_dvc, set_params

CHOICES: dict[str, tuple[Any, ...]] = {
    # the yardstick: what a change of it does, no choice of a value can be told from
    "base.seed": (1, 2),
    "dpo.min_effect": (0.5, 1.0),
    "dpo.pairs_per_query": (None, 2),
    "dpo.balance": ("words", "length"),
    "reward.replicate": (0.02, 0.2),
    "dpo.safety_veto": (True,),
    "dpo.train.held_out_share": (0.1, 0.3),
    "queries.max_similarity": (0.5, 0.9),
    "critique.votes": (3, 5),
    "refine.verify": (1, 2),
    "queries.sft_safety": (100, 400),
    "queries.dpo_safety": (40, 140),
    "queries.sample": ("stratified",),
    "queries.min_words": (2, 5),
    "queries.max_words": (30, 100),
    "queries.keep_flags": (True,),
    "queries.max_symbol_share": (0.1, 0.5),
    "queries.pii": ([], ["email"]),
    "queries.drop_urls": (False,),
    "queries.max_characters": (200, 1200),
    "queries.blocked_keywords": ([], ["lorem ipsum", "test test", "test"]),
    "queries.unsafe_threshold": (0.2, 0.8),
    "queries.languages": (["en"], ["en", "es"]),
    "sft.long_rows": ("truncate", "refuse"),
    "dpo.train.long_rows": ("truncate", "refuse"),
    "teacher.parse_attempts": (1, 5),
    "optimize.on_failure": ("error",),
    "package.held_out_share": (0.0, 0.1),
}
"""key of params.yaml -> values beside the default, in the order in which the demo runs them: what may do most first"""

LEFT_OUT = {
    "base.stop_share": "stops a run, shapes no row",
    "base.stop_after": "stops a run, shapes no row",
    "world.reward_likes_unsafe": "a danger that is planted for a test; off elsewhere",
    "queries.benchmarks": "names files that one brings",
    "queries.semantic": "names a model that one brings; off elsewhere",
    "base_model.chat_template": "for base models that one brings",
    "queries.test": "how many queries are measured on",
    "queries.test_safety": "how many queries are measured on",
    "teacher.on_snapshot_change": "paid models alone",
    "judge": "who measures",
    "judge.on_snapshot_change": "paid models alone",
    "d_sft.on_leakage": "ready sets alone",
    "sft.learning_rate": "of the training, not of the data",
    "sft.padding_free": "changes no weights",
    "policy.dtype": "of the weights, not of the data",
    "sft.checkpoint_s": "changes no weights",
    "dpo.train.learning_rate": "of the training, not of the data",
    "dpo.train.beta": "of the training, not of the data; varied in bench/results/harmless.md",
    "policy.batch_size": "changes no text",
    **dict.fromkeys(
        (
            "world.teacher_flaws", "world.teacher_simplifies", "world.teacher_keeps_unsafe", "world.teacher_refuses",
            "world.critic_recall_own", "world.critic_recall_own_unsafe", "world.critic_recall",
            "world.critic_recall_unsafe", "world.critic_false_alarms", "world.load", "world.drama",
        ),
        "the miniature that stands for models, no part of the method",
    ),
}  # fmt: skip
"""key that is ours and is not varied -> why"""


# ---- real queries


def curate(source: Path, folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Run stage `queries` on a file; return its counts, and `drawn`: the ids of the drawn queries.

    Raises click.ClickException with what the stage says when it stops.
    """
    from click.testing import CliRunner

    from pipeline.queries import main

    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    set_params(folder, {"queries.source": "file", "queries.path": str(source.resolve()), **values})
    outs = [folder / f"data/queries/{split}.jsonl" for split in SPLITS]
    outs[0].parent.mkdir(parents=True, exist_ok=True)
    result = CliRunner().invoke(main, [*map(str, outs), "--params", str(folder / "params.yaml")])
    if result.exit_code:
        raise click.ClickException((result.output.strip().splitlines() or [repr(result.exception)])[-1])
    counts = json.loads((folder / "results/queries.json").read_text(encoding="utf-8"))
    drawn = [json.loads(line) for out in outs for line in out.read_text(encoding="utf-8").splitlines()]
    return {
        "raw": counts["units_in"],
        "dropped": {reason: n for reason, n in counts["dropped"].items() if reason != "not_sampled"},
        "splits": {name: split["general"] + split["safety"] for name, split in counts["splits"].items()},
        "drawn": sorted(f"{row['split']}/{row['query_id']}/{row['query']}" for row in drawn),
    }


def compare_drawn(counts: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of the page for one value: rows kept, splits, and how the draw differs from the default's.

    `moved` is the larger share of the two draws that the other one has not, as a query or so written; `other_split`
    is the share of this draw that the default has in another split.
    """
    here, there = dict(map(split_text, counts["drawn"])), dict(map(split_text, default["drawn"]))
    shared = here.keys() & there.keys()
    reasons = {
        reason: counts["dropped"].get(reason, 0) - default["dropped"].get(reason, 0)
        for reason in sorted({*counts["dropped"], *default["dropped"]})
    }
    return {
        "kept": counts["raw"] - sum(counts["dropped"].values()),
        "splits": counts["splits"],
        "moved": max(1 - len(shared) / max(1, len(draw)) for draw in (here, there)),
        "other_split": sum(here[text] != there[text] for text in shared) / max(1, len(here)),
        "reasons": {reason: change for reason, change in reasons.items() if change},
    }


def split_text(drawn: str) -> tuple[str, str]:
    """Return id and text of a drawn query, and its split."""
    split, _, text = drawn.partition("/")
    return text, split


def vary_real(source: Path, choices: Mapping[str, Iterable[Any]]) -> list[Measured]:
    """Return what each value of the constants of section `queries` makes of a file of real queries; default first."""
    with tempfile.TemporaryDirectory(prefix="vpo-choices-") as name:
        default = curate(source, Path(name), {})
        rows = [Measured("", None, compare_drawn(default, default))]
        for key, values in choices.items():
            for value in values if key.startswith("queries.") else ():
                try:
                    rows.append(Measured(key, value, compare_drawn(curate(source, Path(name), {key: value}), default)))
                except click.ClickException as fault:
                    rows.append(Measured(key, value, {}, f"stops: {fault.message}"))
                click.echo(f"{key} {spell(value)}: {rows[-1].figures or rows[-1].note}", err=True)
    return rows


# ---- the demo


class Demo:
    """One copy of the project with one store, so that DVC runs what a value changes and nothing else."""

    def __init__(self, folder: Path):
        self.path, self.home = folder / "project", folder / "home"
        if not self.path.exists():
            clone(self.path)
            shutil.copyfile(self.path / "params.yaml", folder / "params.yaml")
        self.params = (folder / "params.yaml").read_text(encoding="utf-8")

    def run(self, values: Mapping[str, Any], *stages: str) -> tuple[float, str]:
        """Run `dvc repro` with some values; return its CPU seconds, and the last line of its output where it failed."""
        (self.path / "params.yaml").write_text(self.params, encoding="utf-8")
        set_params(self.path, values)
        spent, code, output = run_dvc(self.path, self.home, "repro", *stages)
        return spent, name_fault(output) if code else ""

    def outs(self) -> dict[str, str]:
        """Return path -> hash of the data that the stages wrote; metrics, code and params apart."""
        return {
            path: digest
            for path, digest in hashes(self.path).items()
            if path.startswith("data/") and not path.startswith(("data/code", "data/files", "data/params"))
        }

    def figures(self) -> dict[str, Any]:
        """Return the columns of the page: queries, pairs and the headline of the run that lies there."""
        return read_figures(self.path)


def name_fault(output: str) -> str:
    """Return what the stage said before DVC gave up, else DVC's own last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Error: ")), lines[-1] if lines else "no output")


def read_figures(path: Path) -> dict[str, Any]:
    """Return queries, pairs by source, and what the arm dpo is compared by, of a finished run."""
    counts = json.loads((path / "results/queries.json").read_text(encoding="utf-8"))
    pairs = {
        name: len((path / f"data/dpo/{name}.jsonl").read_text(encoding="utf-8").splitlines())
        for name in ("d_text", "d_video", "d_dpo")
    }
    rows = [json.loads(line) for line in (path / "data/evaluate.jsonl").read_text(encoding="utf-8").splitlines()]
    by_key = {(row["arm"], row["versus"], row["metric"]): row for row in rows}
    reward = by_key["dpo", "sft", "reward"]
    dropped = sum(n for reason, n in counts["dropped"].items() if reason != "not_sampled")
    return {
        "kept": counts["units_in"] - dropped,
        **pairs,
        "reward": [reward["value"], reward["low"], reward["high"]],
        **{metric: by_key["dpo", None, metric]["value"] for metric in ("unsafe", "failed")},
    }


class Finished(NamedTuple):
    """What has been run on one basis."""

    whole: float
    """CPU seconds of the whole graph; 0 until the default has been run"""
    rows: dict[tuple[str, str], Measured]
    """(key, spelled value) -> what it made of the demo"""


class Budget:
    """CPU seconds that may be spent, what the whole graph takes, and what a value of the same constant took last."""

    def __init__(self, seconds: float, whole: float):
        self.seconds, self.spent, self.whole = seconds, 0.0, whole
        self.last: dict[str, float] = {}

    def pays(self, key: str) -> bool:
        """Return whether a value of `key` can be run: as long as the constant's last one, or as the whole graph."""
        return self.spent + self.last.get(key, self.whole) <= self.seconds

    def take(self, key: str, spent: float) -> None:
        self.spent += spent
        self.last[key] = spent


def vary_demo(demo: Demo, choices: Mapping[str, Iterable[Any]], minutes: float, finished: Finished,
              keep: Callable[[Finished], None]) -> list[Measured]:  # fmt: skip
    """Return what each value makes of the demo, the default first; those of `finished` are not run again.

    A value whose stages all write what they wrote before has the note `no row changed`, one that the minutes do not
    reach `not run`. The first run, of the default, is not counted. `keep` gets all that has been run, after each run.
    """
    spent, fault = demo.run({})
    if fault:
        raise click.ClickException(fault)
    # where an earlier call has run the default, DVC finds nothing to run and takes next to no time
    finished = Finished(finished.whole or spent, dict(finished.rows))
    keep(finished)
    budget = Budget(60 * minutes, finished.whole)
    default, rows = demo.outs(), [Measured("", None, demo.figures())]
    for key, values in choices.items():
        for value in values:
            row = finished.rows.get((key, spell(value)))
            if row is None and not budget.pays(key):
                row = Measured(key, value, {}, "not run: the CPU minutes were spent")
            elif row is None:
                spent, fault = demo.run({key: value})
                budget.take(key, spent)
                if fault:
                    row = Measured(key, value, {}, f"stops: {fault}")
                elif demo.outs() == default:
                    row = Measured(key, value, {}, "no row changed")
                else:
                    row = Measured(key, value, demo.figures())
                finished.rows[key, spell(value)] = row
                keep(finished)
            rows.append(row)
            click.echo(f"{key} {spell(value)}: {row.figures or row.note} ({budget.spent / 60:.1f} min)", err=True)
    return rows


def read_finished(folder: Path, basis: Mapping[str, Any]) -> Finished:
    """Return what an earlier call ran on the same code; nothing, and the basis noted down, where there is none.

    A copy of the project is removed with its store where it is of other code, or its first run was killed. Raises
    click.ClickException where the folder holds a `project` that no call has noted down.
    """
    file = folder / "finished.json"
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if kept["whole"] and all(kept["basis"][part] == basis[part] for part in PARTS):
            rows = [Measured(*values) for values in kept["rows"]]
            return Finished(kept["whole"], {(row.key, spell(row.value)): row for row in rows})
        for name in ("project", "home"):
            shutil.rmtree(folder / name, ignore_errors=True)
    elif (folder / "project").exists():
        raise click.ClickException(f"{folder / 'project'} is of no earlier call: remove it, or name another folder")
    nothing = Finished(0.0, {})
    write_finished(folder, basis, nothing)
    return nothing


def write_finished(folder: Path, basis: Mapping[str, Any], finished: Finished) -> None:
    """Write what has been run, for a later call."""
    content = {"basis": basis, "whole": finished.whole, "rows": [*finished.rows.values()]}
    (folder / "finished.json").write_text(json.dumps(content), encoding="utf-8")


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the demo's copy lies and finished values are kept."
)
@click.option("--minutes", type=float, default=45.0, help="CPU minutes for the demo's values; 0 leaves the demo out.")
def main(source: Path, folder: Path | None, minutes: float) -> None:
    """Vary each constant that is ours, on a file of real queries and on the demo."""
    tree, basis = load_yaml(ROOT / "params.yaml"), read_basis("choices")
    real, demo = vary_real(source, CHOICES), []
    if minutes:
        if basis["commit"].endswith("changes"):
            raise click.ClickException("commit first: the demo runs what is committed")
        folder = folder or Path(tempfile.mkdtemp(prefix="vpo-choices-"))
        folder.mkdir(parents=True, exist_ok=True)
        finished = read_finished(folder, basis)
        demo = vary_demo(Demo(folder), CHOICES, minutes, finished, functools.partial(write_finished, folder, basis))
    print(write_page("choices", compose_page(source.name, real, demo, tree), basis).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
