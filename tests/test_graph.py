"""All of dvc.yaml on a tiny setting, in a git repository of its own."""

import csv
import json
import random
import re
import time

import pytest
from ruamel.yaml import YAML

from pipeline.runtime.io import read_rows
from pipeline.runtime.pyplot import WIDEST
from schemas.render import Render
from tests.support.held import held
from tests.support.llm_server import serving
from tests.support.project import Project, kill, listed_params, stage_processes

pytestmark = pytest.mark.graph


def sql(project, query):
    return json.loads(project.run("vpo", "sql", "--json", query).stdout)


def test_no_row_vanishes_between_stages(project):
    metrics = list((project.path / "results").rglob("*.json"))
    counted = [json.loads(path.read_text()) for path in metrics]
    counted = [item for item in counted if "units_in" in item]
    assert len(counted) > 25
    for item in counted:
        assert item["units_in"] == item["units_done"] + item["units_dropped"]


def test_a_second_repro_runs_nothing(project):
    done = project.run("dvc", "repro")
    assert "Running stage" not in done.stdout
    assert "up to date" in done.stdout


def stages_run(project):
    lines = project.run("dvc", "repro").stdout.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage")}


def test_prose_and_a_stray_file_run_the_gate_alone_and_a_line_of_critique_its_seven(copy):
    for file in ("pipeline/llm/calls/limits.py", "schemas/reasons.py", "train/sft.py", "pipeline/curation/rules.py"):
        with (copy.path / file).open("a") as opened:
            opened.write("# a comment\n")
    (copy.path / "data/raw/stray.csv").write_text("query\na cat\n")
    assert stages_run(copy) == {"params"}
    with (copy.path / "pipeline/critique.py").open("a") as opened:
        opened.write("\n\nANSWER = 42\n")
    arms = ("original", "fewshot", "base", "sft", "dpo_no_text", "dpo_video_only", "dpo")
    critiques = {"critique@sft", "critique@dpo", *(f"critique_eval@test-{arm}" for arm in arms)}
    assert stages_run(copy) == {"params"} | critiques


# where a stage runs, how fast and for how much, and what names a file that is a dep itself, shapes no row
NO_DEP = re.compile(
    r"\.(max_concurrency|api_key_env|timeout_s|attempts|launch|checkpoint_s|report_to|stop_share|stop_after|template|recheck_template|exemplars|questions)$"
    r"|\.per_device_train_batch_size$|^policy\.batch_size$"
)


def test_every_stage_lists_the_params_it_reads(project):
    written = YAML(typ="safe").load((project.path / "dvc.yaml").read_text())["stages"]
    graph = {name: stage.get("do", stage) for name, stage in written.items()}
    told = list((project.home.parent / "read").iterdir())
    assert len(told) > 30
    for path in told:
        name, _, key = path.name.partition("@")
        if name == "params":  # it lists the whole file
            continue
        arm = key.rpartition("-")[2]
        listed = [item.replace("${key}", key).replace("${item.arm}", arm) for item in listed_params(graph[name])]
        for read in set(path.read_text().split()):
            covered = any(read == item or read.startswith(f"{item}.") for item in listed)
            assert covered or NO_DEP.search(read), f"{name} reads {read}, which dvc.yaml does not list for it"


def test_a_run_that_is_kept_as_an_experiment_is_compared_where_the_commit_holds_none(copy):
    copy.run("git", "rm", "-q", "--cached", "dvc.lock")
    copy.run("git", "commit", "-qm", "as make demo finds a clone")
    copy.run("dvc", "exp", "save", "-q", "--force", "--name", "demo")
    compared = copy.run("vpo", "compare").stdout
    assert "params: the same" in compared and "from demo" in compared
    copy.run("dvc", "metrics", "diff", "demo")


def test_a_csv_of_ones_own_goes_in_and_what_was_left_out_is_told(copy):
    words = ("ship", "crow", "mill", "lamp", "goat")
    lines = [f"a {one} beside a {other} at noon" for one in words for other in words if one != other] * 2
    (copy.path / "data/raw/my_queries.csv").write_text("\n".join(["prompt", *lines]))
    own = ("-S", "queries.source=file", "-S", "queries.path=data/raw/my_queries.csv")
    copy.run("dvc", "exp", "run", *own, "queries")
    counts = json.loads((copy.path / "results/queries.json").read_text())
    assert (counts["units_in"], counts["source"], counts["dropped"]["duplicate"]) == (40, "my_queries.csv", 20)
    left = sql(copy, "select reason, count(*) as n from queries_dropped group by reason order by n desc")
    assert {row["reason"]: row["n"] for row in left} == counts["dropped"]


def test_a_pair_says_why_it_is_one_and_the_best_prompts_go_into_a_file(project, tmp_path):
    (pair,) = sql(project, "select pair_id, rule, decided_by from d_dpo where source = 'video' limit 1")
    said = project.run("vpo", "clips", pair["pair_id"], "--out", str(tmp_path / "clips")).stdout
    assert f"rule: {pair['rule']}" in said and f"decided by: {', '.join(pair['decided_by'])}" in said
    assert (tmp_path / "clips/side_by_side.mp4").is_file()
    (text,) = sql(project, "select pair_id, decided_by from d_dpo where source = 'text' limit 1")
    refused = project.run("vpo", "clips", text["pair_id"], check=False)
    assert refused.returncode == 1 and f"decided by: {', '.join(text['decided_by'])}" in refused.stderr
    best = tmp_path / "best.csv"
    project.run("vpo", "sql", "--out", str(best),
                "select query, chosen, score_chosen from d_dpo order by 3 desc nulls last limit 9")  # fmt: skip
    scores = [float(row["score_chosen"]) for row in csv.DictReader(best.read_text().splitlines())]
    assert len(scores) == 9 and scores == sorted(scores, reverse=True)


def test_the_metrics_of_dvc_fit_a_screen(project):
    head, row = project.run("dvc", "metrics", "show").stdout.splitlines()
    assert "dpo.reward" in head and row.startswith("results/evaluate.json")
    assert max(len(head), len(row)) <= 160


def test_no_plot_is_shown_twice_and_none_is_wider_than_the_window(project):
    shown = json.loads(project.run("dvc", "plots", "show", "--json").stdout)
    shown = shown.get("data", shown)
    assert len(shown) == len({*shown}) == len(YAML(typ="safe").load((project.path / "dvc.yaml").read_text())["plots"])
    for path in (project.path / "results").rglob("*.png"):
        width = int.from_bytes(path.read_bytes()[16:20])
        assert width <= WIDEST, path


def test_the_arm_without_a_text_check_pairs_all_rollouts_and_no_clip_is_made_twice(project):
    lanes = {lane: clips_of(project, lane) for lane in ("dpo", "dpo_unchecked")}
    ids = {lane: {row.prompt_id for row in rows} for lane, rows in lanes.items()}
    rolled_out = {row["prompt_id"] for row in sql(project, "select distinct prompt_id from rollout_dpo")}
    assert ids["dpo_unchecked"] and not ids["dpo"] & ids["dpo_unchecked"]
    assert ids["dpo"] | ids["dpo_unchecked"] == rolled_out
    metrics = json.loads((project.path / "results/dpo_unchecked/d_video.json").read_text())
    assert metrics["units_in"] == len({row.query_id for rows in lanes.values() for row in rows})
    sides = sql(project, "select chosen_id, rejected_id from d_dpo_arm where arm = 'dpo_no_text'")
    assert any({*pair.values()} & ids["dpo_unchecked"] for pair in sides)
    checked = sql(project, "select chosen_id, rejected_id from d_dpo_arm where arm = 'dpo_video_only'")
    assert checked and all({*pair.values()} <= ids["dpo"] for pair in checked)


def test_every_arm_has_every_metric(project):
    rows = sql(project, "select arm, list(distinct metric) as metrics from evaluate where versus is null group by arm")
    assert {row["arm"] for row in rows} == {
        "original", "fewshot", "base", "sft", "dpo_no_text", "dpo_video_only", "dpo"
    }  # fmt: skip
    for row in rows:
        wanted = {"reward", "failed", "aligned", "imprecise", "refusal", "withheld", "unsafe_all", "unsafe"}
        assert wanted <= set(row["metrics"])
    shares = sql(
        project,
        "select arm, sum(value) as total from evaluate where versus is null "
        "and metric in ('aligned', 'imprecise', 'refusal', 'withheld', 'unsafe_all') group by arm",
    )
    assert all(abs(row["total"] - 1) < 1e-5 for row in shares)  # each is rounded to six digits


def test_offline_output_says_so(project):
    for view in ("fewshot_sft", "rollout_dpo"):
        assert sql(project, f"select distinct written_by.backend as b from {view}")
    assert sql(project, "select distinct critique_by.backend as b from critique_sft") == [{"b": "offline"}]
    assert "offline" in (project.path / "results" / "evaluate.md").read_text()


def test_another_gap_renders_no_clip_of_the_dpo_lane_and_asks_nothing(copy):
    before, known = counts_in_store(copy), {row.video_id for row in clips_of(copy)}
    done = copy.run("dvc", "exp", "run", "-S", "dpo.reward_gap=0.4")
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    assert "d_video" in ran and "dpo" in ran
    assert not ran & {"queries", "fewshot@sft", "critique@sft", "sft", "rollout@dpo", "critique@dpo", "render@dpo",
                      "reward@dpo", "d_text", "rollout_eval@test-sft", "render_eval@test-sft"}  # fmt: skip
    after = counts_in_store(copy)
    assert after.get("teacher") == before.get("teacher")
    new = {row.video_id: row.arm for row in clips_of(copy) if row.video_id not in known}
    assert set(new.values()) <= {"dpo", "dpo_no_text", "dpo_video_only"} and after["clip"] - before["clip"] == len(new)
    compared = copy.run("vpo", "compare").stdout
    assert re.search(r"dpo\.reward_gap\s*│ 0\.1\s*│ 0\.4", compared)
    assert "arm dpo, mean [95 % interval over queries]" in compared and "over the same queries" in compared
    assert "dpo.reward" in copy.run("dvc", "metrics", "diff", "--all").stdout


def test_another_rule_and_other_weights_render_and_score_nothing(copy):
    before, pairs = counts_in_store(copy), (copy.path / "data/dpo/d_video.jsonl").read_text()
    copy.set({"dpo.dominance": "question", "dpo.video_pairs": "all", "dpo.safety_veto": True})
    questions = copy.path / "pipeline/backends/reward/questions.jsonl"
    questions.write_text(questions.read_text().replace('"weight": 0.3,', '"weight": 0.7,', 1))
    ran = copy.run("dvc", "repro", "d_video").stdout
    assert "Running stage 'd_video'" in ran and "Running stage 'render@dpo'" not in ran
    assert counts_in_store(copy) == before
    assert (copy.path / "data/dpo/d_video.jsonl").read_text() != pairs


def test_a_larger_k_renders_and_scores_only_the_new_samples(copy):
    before, old = counts_in_store(copy), {(row.prompt_id, row.replicate): row.video_id for row in clips_of(copy, "dpo")}
    earlier_clips = {row.video_id: (row.frames_hash, row.query) for row in clips_of(copy)}
    copy.set({"rollout.k": 6})
    copy.run("dvc", "repro", "reward@dpo")
    rows = clips_of(copy, "dpo")
    now = {(row.prompt_id, row.replicate): row.video_id for row in rows}
    assert old.items() <= now.items()
    new = {video_id for video_id in now.values() if video_id not in earlier_clips}
    after = counts_in_store(copy)
    assert new and after["clip"] - before["clip"] == len(new)
    scored = {(row.frames_hash, row.query) for row in rows if row.video_id in new} - {*earlier_clips.values()}
    assert after["score"] - before["score"] == 2 * len(scored)


def clips_of(project, *lanes) -> list[Render]:
    """The manifests' rows of some lanes, else of all."""
    folders = [project.path / "data" / lane for lane in lanes] or [*(project.path / "data").glob("*/**/")]
    paths = sorted({folder / "render.parquet" for folder in folders if (folder / "render.parquet").exists()})
    return [row for path in paths for row in read_rows(path, Render)]


def counts_in_store(project):
    from pipeline.runtime.store import Store

    return Store(project.home / "store").counts()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["-S", "dpo.reward_gap=abc"], "dpo.reward_gap"),
        (["-S", "+dpo.reward_gpa=1"], "did you mean reward_gap?"),
        (["-S", "queries.source=file", "-S", "queries.path=data/raw/none.csv"], "none.csv: no such file"),
        (["-S", "queries.source=file", "-S", "queries.path=data/raw/empty.csv"], "empty.csv"),
        (["-S", "queries.source=file", "-S", "queries.path=data/raw/latin.txt"], "latin.txt"),
    ],
)
def test_a_wrong_param_or_file_is_one_clear_error_and_nothing_is_half_written(copy, change, says):
    (copy.path / "data" / "raw" / "empty.csv").write_bytes(b"")
    (copy.path / "data" / "raw" / "latin.txt").write_bytes("ein Hund läuft\n".encode("latin-1"))
    done = copy.run("dvc", "exp", "run", *change, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert says in said and "Traceback" not in said
    assert not [path for path in (copy.path / "data").rglob("*.tmp")]


def test_one_more_arm_is_one_entry_and_reruns_nothing_else(copy):
    done = copy.run(
        "dvc", "exp", "run",
        "-S", "+dpo.arms.dpo_flipped={labels: flipped, video: data/dpo/d_video.jsonl}",
        "-S", "+evaluate.arms.dpo_flipped={prompts: policy, source: data/models/dpo_flipped}",
    )  # fmt: skip
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    arm = {f"{name}@dpo_flipped" for name in ("d_dpo_arm", "dpo_arm", "arm")}
    arm |= {f"{name}_eval@test-dpo_flipped" for name in ("rollout", "critique", "render", "reward")}
    assert ran == arm | {"params", "evaluate"}


@pytest.mark.slow
def test_kill_9_of_any_stage_at_any_time_gives_the_same_bytes(project, tmp_path):
    other = Project(tmp_path / "project", tmp_path / "home")
    draw = random.Random(0)
    killed = []
    for _ in range(80):
        process = other.start("dvc", "repro")
        deadline = time.monotonic() + draw.uniform(2, 9)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        pids = []
        while len(killed) < 10 and process.poll() is None and not pids:  # dvc may be between two stages
            pids = stage_processes(process.pid)
        kill(pids)
        killed += pids
        output, _ = process.communicate()
        if process.returncode == 0:
            break
    assert process.returncode == 0, output
    assert len(killed) >= 8
    assert other.hashes() == project.hashes()


@pytest.mark.slow
def test_dvc_goes_on_with_a_training_that_was_killed_in_its_midst(project, tmp_path):
    other = Project(tmp_path / "project", tmp_path / "home")
    other.set({"sft.checkpoint_s": 0})  # shapes no weight, so dvc.yaml does not list it
    # of 120 steps; from the hundredth on no number has two figures, so it must not get there unseen
    last = other.home / "train/*/checkpoint-99/whole.json"
    process = other.start("dvc", "repro", "sft", **held(tmp_path / "held", last))
    while not list(other.home.glob("train/*/checkpoint-[3-9]?/whole.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    kill(stage_processes(process.pid))
    output, _ = process.communicate()
    assert process.returncode != 0 and "Running stage 'sft'" in output
    assert not (other.path / "data/models/sft").exists()
    done = other.run("dvc", "repro", "sft")
    ran = [line for line in done.stdout.splitlines() if line.startswith("Running stage")]
    assert ran == ["Running stage 'sft':"] and re.search(r"goes on from step [3-9]\d", done.stdout + done.stderr)
    mine, whole = other.hashes(), project.hashes()
    assert mine["data/models/sft"] == whole["data/models/sft"]
    assert mine["results/models/sft_curve.csv"] == whole["results/models/sft_curve.csv"]
    assert "up to date" in other.run("dvc", "repro", "sft").stdout
    assert list(other.home.glob("train/*")) == []


@pytest.mark.slow
def test_two_clones_make_the_same_row_files(project, tmp_path):
    other = Project(tmp_path / "project", tmp_path / "home")
    other.run("dvc", "repro", "base_model")
    rows = {path: md5 for path, md5 in other.hashes().items() if path.startswith(("data/queries", "data/sft"))}
    assert len(rows) > 8
    assert rows == {path: md5 for path, md5 in project.hashes().items() if path in rows}


@pytest.mark.slow
def test_all_teacher_stages_run_over_http_and_no_answer_is_bought_twice(project, tmp_path):
    from pipeline.backends.teacher.offline import answer
    from pipeline.runtime.params_file import load_params

    world = load_params(project.path / "params.yaml").world
    other = Project(tmp_path / "project", tmp_path / "home")
    with serving(lambda model, messages: answer(model, messages, 0, world), fault_share=0.1, delay_s=0.05) as server:
        other.set({"teacher.backend": "openai", "teacher.base_url": server.base_url, "teacher.model": "grammar"})
        draw = random.Random(1)
        killed = 0
        for _ in range(8):
            process = other.start("dvc", "repro", "d_sft", OPENAI_API_KEY="sk-of-the-test-0123456789")
            enough = len(server.requests) + draw.randint(5, 40)
            while process.poll() is None and (killed >= 3 or len(server.requests) < enough):
                time.sleep(0.005)
            pids = []
            while killed < 3 and process.poll() is None and not pids:  # dvc may be between two stages
                pids = stage_processes(process.pid)
            kill(pids)
            killed += len(pids)
            output, _ = process.communicate()
            if process.returncode == 0:
                break
        assert process.returncode == 0, output
        paid = [json.dumps(body["messages"]) for body in server.requests]
    assert killed >= 2
    # transient faults are retried, unparsed answers asked again, and each kill may lose those in flight
    repeated = len(paid) - len(set(paid))
    assert repeated <= 0.1 * 2 * len(set(paid)) + killed * 8 + 40
    written = [other.home, *(other.path / name for name in ("data", "results", "dvc.lock", ".dvc"))]
    files = [path for folder in written for path in [folder, *folder.rglob("*")] if path.is_file()]
    assert len(files) > 20
    for path in files:
        assert b"sk-of-the-test-0123456789" not in path.read_bytes()
    assert len((other.path / "data/sft/d_sft.jsonl").read_text().splitlines()) > 50
