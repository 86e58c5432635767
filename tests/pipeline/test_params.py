import json
import subprocess
import sys

from click.testing import CliRunner

from pipeline.params import file_hashes, named_paths
from pipeline.params import main as params_main
from pipeline.runtime.fingerprint import code_of
from schemas.params import SemanticParams


def folders(out):
    return [str(out.parent / "code"), str(out.parent / "files")]


def changed(tmp_path, root, old, new):
    text = (root / "params.yaml").read_text()
    assert old in text
    path = tmp_path / "params.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_a_question_file_with_a_fault_is_found_before_any_work(tmp_path, root):
    short = tmp_path / "VisionReward_video_qa.txt"
    short.write_text("Is it sharp?\n" * 63)
    path = changed(tmp_path, root, "questions: pipeline/backends/reward/questions.jsonl", f"questions: {short}")
    out = tmp_path / "data" / "params.json"
    done = CliRunner().invoke(params_main, [str(out), *folders(out), "--params", str(path)])
    assert done.exit_code == 1 and "63 lines" in done.output and not out.exists()


def test_a_stage_exits_with_2_before_any_work(tmp_path, root):
    path = changed(tmp_path, root, "reward_gap: 0.5", "reward_gap: abc")
    out = tmp_path / "data" / "params.json"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "params", str(out), *folders(out), "--params", str(path)],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "dpo.reward_gap" in done.stderr and "Traceback" not in done.stderr
    assert not out.exists()


def test_a_sentence_model_that_is_missing_is_found_before_any_work(tmp_path, root):
    named = "semantic: {model: no/such/folder, revision: null, threshold: 0.9} #"
    path = changed(tmp_path, root, "semantic:                 ", named)
    out = tmp_path / "data" / "params.json"
    done = CliRunner().invoke(params_main, [str(out), *folders(out), "--params", str(path)])
    assert done.exit_code == 2 and not out.exists()
    assert "queries.semantic: no/such/folder: no such folder" in done.output


def test_the_gate_writes_the_code_of_each_stage_and_the_files_of_each_section(tmp_path, root):
    data = tmp_path / "data" / "second"
    for _ in range(2):  # the second time in the place of the first
        done = CliRunner().invoke(
            params_main,
            [str(data / "params.json"), *folders(data / "params.json"), "--params", str(root / "params.yaml")],
        )
        assert done.exit_code == 0, done.output
        assert json.loads((data / "code/critique.json").read_text()) == code_of(root, "pipeline/critique.py")
        assert json.loads((data / "code/sft.json").read_text()) == code_of(root, "train/sft.py")
        assert {path.stem for path in (data / "files").iterdir()} == {"queries", "d_sft", "d_dpo", "reward"}
        (data / "code/gone.json").write_text("{}")
    CliRunner().invoke(params_main, [str(data / "params.json"), *folders(data / "params.json")])
    assert not (data / "code/gone.json").exists()


def test_the_files_that_params_name_are_told_by_what_is_in_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.csv", "stray.csv", "head/a.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    before = file_hashes(["mine.csv", "head", "owner/name-of-the-hub", "mine.csv"])
    assert list(before) == ["head/a.safetensors", "mine.csv"] and len({*before.values()}) == 2
    (tmp_path / "mine.csv").write_text("other")
    after = file_hashes(["mine.csv", "head"])
    assert after["mine.csv"] != before["mine.csv"] and after["head/a.safetensors"] == before["head/a.safetensors"]


def test_each_section_names_its_files(laptop):
    questions = ["pipeline/backends/reward/questions.jsonl"]
    assert named_paths(laptop) == {"queries": [], "d_sft": [], "d_dpo": [], "reward": questions}
    queries = laptop.queries.model_copy(update={"source": "file", "path": "a.csv", "benchmarks": ("b.json",)})
    hub = queries.model_copy(update={"source": "hub", "path": "owner/name"})
    ready = laptop.d_sft.model_copy(update={"path": "c.jsonl"})
    assert named_paths(laptop.model_copy(update={"queries": queries, "d_sft": ready})) == {
        "queries": ["b.json", "a.csv"], "d_sft": ["c.jsonl"], "d_dpo": [], "reward": questions,
    }  # fmt: skip
    assert named_paths(laptop.model_copy(update={"queries": hub}))["queries"] == ["b.json"]
    semantic = SemanticParams(model="models/minilm", revision=None, threshold=0.9)
    meaning = laptop.queries.model_copy(update={"semantic": semantic})
    assert named_paths(laptop.model_copy(update={"queries": meaning}))["queries"] == ["models/minilm"]
