import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from click import ClickException
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.runtime.io import read_rows, write_rows
from schemas.base import content_id
from schemas.critique import Critique
from schemas.rollout import Rollout
from tests.support.small_project import small_project, write_params
from vpo.compare import changed_params, last_policy, main, show_lines, show_params
from vpo.comparing.differences import Figure, Line
from vpo.comparing.runs import Run, open_run, tables_of
from vpo.graph import read_graph

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
ARM = ("--arm", "dpo")


@pytest.fixture
def project(tmp_path, vpo_home, monkeypatch):
    """A small project whose run is committed: its tables are in DVC's cache, as dvc.lock says."""
    monkeypatch.chdir(tmp_path)
    small_project(tmp_path)
    Path(".gitignore").write_text("data/\n.dvc/cache/\n")
    tree = json.loads(Path("params.yaml").read_text())
    outs = [keep(path) for path in tables_of(Run("", tree, tmp_path, read_graph(tmp_path)))]
    YAML().dump({"schema": "2.0", "stages": {"all": {"cmd": "", "outs": outs}}}, Path("dvc.lock"))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "a run"]):
        subprocess.run([*GIT, *words], check=True, capture_output=True)
    return tmp_path


def keep(path):
    """Put a table into DVC's cache; return its out of the lock."""
    md5 = hashlib.md5(Path(path).read_bytes()).hexdigest()
    kept = Path(".dvc/cache/files/md5", md5[:2], md5[2:])
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, kept)
    return {"path": path, "md5": md5}


def compare(*words):
    done = CliRunner().invoke(main, [*words, *ARM])
    return done.exit_code, done.output


def judge_all(aligned):
    """Let the judge fault every general prompt of the arm, or none."""
    path = Path("data/eval/test/dpo/critique.jsonl")
    violated = () if aligned else ("accurate",)
    rows = [row.model_copy(update={"aligned": aligned, "violated": violated}) for row in read_rows(path, Critique)]
    write_rows(path, rows, Critique)


def row_of(output, metric):
    (line,) = [line for line in output.splitlines() if line.startswith(f"│ {metric} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_two_equal_runs_have_no_difference(project):
    code, output = compare()
    assert code == 0 and "params: the same" in output
    assert row_of(output, "reward")[3:] == ["+0.00 [+0.00, +0.00]", ""]
    assert "workspace: nothing got worse (over the same queries)" in output


def test_a_changed_param_and_what_got_worse_are_told(project):
    write_params(project, dpo={"reward_gap": 0.8})
    judge_all(aligned=False)
    code, output = compare("HEAD")
    assert code == 0 and row_of(output, "dpo.reward_gap") == ["dpo.reward_gap", "0.5", "0.8"]
    # four of five were aligned: the harmful query is not
    assert row_of(output, "aligned")[1:3] == ["80.0 [40.0, 100.0]", "0.0 [0.0, 0.0]"]
    assert row_of(output, "aligned")[3].startswith("-80.0") and row_of(output, "aligned")[4] == "WORSE"
    assert "workspace: worse in aligned, aligned_general, imprecise (over the same queries)" in output


def test_a_run_that_loses_more_prompts_is_worse_whatever_its_reward_says(project):
    """Each lost query is served as it was typed, which the figures of what is served may like."""
    path = Path("data/eval/test/dpo/rollout.jsonl")
    rows = [row.model_copy(update={"served": "query", "failure": "truncated"}) for row in read_rows(path, Rollout)]
    write_rows(path, rows, Rollout)
    _, output = compare("HEAD")
    assert row_of(output, "failed")[1:5] == [
        "0.0 [0.0, 0.0]",
        "100.0 [100.0, 100.0]",
        "+100.0 [+100.0, +100.0]",
        "WORSE",
    ]
    assert "workspace: worse in failed" in output


def test_what_rose_is_better(project):
    judge_all(aligned=True)  # the prompt of the harmful query too
    _, output = compare()
    assert row_of(output, "unsafe")[4] == "better"


def test_runs_over_other_queries_are_not_paired(project):
    for path in (*Path("data/eval/test").glob("*/*.jsonl"), Path("data/queries/test.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            if "query" in row:
                row["query"] += " again"
                row["query_id"] = content_id(row["query"])
            if "prompt" in row:
                row["prompt_id"] = content_id(row["query_id"], row["prompt"])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, output = compare()
    assert code == 0 and "(over other queries)" in output


def test_a_run_that_nobody_knows_is_one_line_with_those_there_are(project):
    code, output = compare("nothing")
    assert code == 1 and "no experiment nothing; there are none" in output
    subprocess.run(["git", "update-ref", "refs/exps/ab/cd/proud-bee", "HEAD"], check=True)
    assert "there are proud-bee" in compare("nothing")[1]
    assert compare("proud-bee")[0] == 0


def test_a_table_that_is_no_longer_kept_is_named(project):
    shutil.rmtree(".dvc")
    code, output = compare()
    assert code == 1 and "data/queries/test.jsonl is no longer in DVC's cache" in output


def test_a_workspace_without_a_run_says_which_command_makes_one(project):
    Path("data/eval/test/dpo/reward.parquet").unlink()
    code, output = compare()
    assert code == 1 and "run `dvc repro evaluate`" in output


def test_a_param_of_one_run_alone_is_a_change(project):
    run = open_run(project, "workspace", project / "x")
    other = Run("o", {**run.tree, "more": {"x": 1}}, project, run.graph)
    assert list(changed_params([run, other])) == [("more.x", [None, 1])]


def test_the_policy_that_is_compared_is_the_last_that_all_runs_have(laptop):
    def run(**arms):
        described = {name: SimpleNamespace(prompts=kind) for name, kind in arms.items()}
        return SimpleNamespace(params=SimpleNamespace(evaluate=SimpleNamespace(arms=described)))

    runs = [run(dpo="policy", sft="policy", extra="policy", original="query"), run(sft="policy", extra="policy")]
    assert last_policy(runs[:1]) == "dpo" and last_policy(runs) == "sft"
    with pytest.raises(ClickException, match="no arm of a policy in common"):
        last_policy([*runs, run(original="query")])


RUNS = [SimpleNamespace(name=name) for name in ("one", "two", "three")]
LINES = [
    Line("reward", [Figure(1, 0.5, 1.5, 9), Figure(2, 1.5, 2.5, 9), Figure(0, -1, 1, 9)],
         [Figure(1, 0.5, 1.5, 9, True), Figure(-1, -1.5, -0.5, 9, True)]),
    Line("aligned", [Figure(0.5, 0.4, 0.6, 9), Figure(0, 0, 0, 0), Figure(0.25, 0.125, 0.5, 9)],
         [Figure(0, 0, 0, 0), Figure(-0.25, -0.4, -0.1, 9, False)]),
]  # fmt: skip


def cells(output):
    rows = [line for line in output.splitlines() if line.startswith(("┃", "│"))]
    return [[cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")] for line in rows]


def test_each_later_run_has_its_figures_differences_and_flags_and_a_sentence(capsys):
    show_lines(LINES, RUNS, "dpo")
    output = capsys.readouterr().out
    assert cells(output) == [
        ["metric", "one", "two", "from one", "", "three", "from one", ""],
        ["reward", "1.00 [0.50, 1.50]", "2.00 [1.50, 2.50]", "+1.00 [+0.50, +1.50]", "better", "0.00 [-1.00, 1.00]",
         "-1.00 [-1.50, -0.50]", "WORSE"],
        ["aligned", "50.0 [40.0, 60.0]", "-", "-", "", "25.0 [12.5, 50.0]", "-25.0 [-40.0, -10.0]", "WORSE"],
    ]  # fmt: skip
    lines = output.splitlines()
    assert lines[0] == "arm dpo, mean [95 % interval over queries], shares in percent"
    assert lines[-2:] == [
        "two: nothing got worse (over the same queries)",
        "three: worse in reward, aligned (over other queries and over the same queries)",
    ]


def test_params_that_differ_are_shown_up_to_a_dozen_and_cut(capsys):
    show_params([], RUNS[:2])
    assert capsys.readouterr().out == "params: the same\n"
    show_params([(f"key{number}", [None, "x" * 50]) for number in range(14)], RUNS[:2])
    output = capsys.readouterr().out
    assert cells(output) == [["param", "one", "two"], *([f"key{number}", "", "x" * 40] for number in range(12))]
    assert output.splitlines()[-1] == "and 2 more params"
    show_params([("key", [1, 2])] * 12, RUNS[:2])
    assert "more params" not in capsys.readouterr().out
