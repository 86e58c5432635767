import subprocess
import sys

from click.testing import CliRunner

from pipeline.params import main as params_main


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
    done = CliRunner().invoke(params_main, [str(out), "--params", str(path)])
    assert done.exit_code == 1 and "63 lines" in done.output and not out.exists()


def test_a_stage_exits_with_2_before_any_work(tmp_path, root):
    path = changed(tmp_path, root, "reward_gap: 0.5", "reward_gap: abc")
    out = tmp_path / "data" / "params.json"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "params", str(out), "--params", str(path)],
        cwd=root, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "dpo.reward_gap" in done.stderr and "Traceback" not in done.stderr
    assert not out.exists()
