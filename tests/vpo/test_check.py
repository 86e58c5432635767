from click.testing import CliRunner

from pipeline.runtime.io import write_json
from tests.support.small_project import small_project, write_params
from vpo.check import find_changed_files, find_wrong_ids, main
from vpo.graph import read_graph


def test_an_empty_project_is_no_sound_one(tmp_path, monkeypatch):
    write_params(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main)
    assert done.exit_code == 1
    assert "nothing to check: queries, d_sft" in done.output


def test_a_prompt_that_was_edited_under_its_old_id_is_named(tmp_path):
    small_project(tmp_path)
    path = tmp_path / "data/dpo/rollout.jsonl"
    path.write_text(path.read_text().replace("take 0.", "take 9.", 1))
    found = [line for line in find_wrong_ids(tmp_path, read_graph(tmp_path)) if "rollout" in line]
    assert len(found) == 1 and found[0].startswith("data/dpo/rollout.jsonl:1: prompt_id: not that of its prompt")


def test_a_file_that_is_not_the_one_of_the_lock_is_named(tmp_path):
    small_project(tmp_path)
    outs = [{"path": f"data/{name}.json", "hash": "md5", "md5": "8d777f385d3dfec8815d20f7496026dc"} for name in "ab"]
    (tmp_path / "data/a.json").write_text("data")
    (tmp_path / "data/b.json").write_text("dato")
    write_json(tmp_path / "dvc.lock", {"schema": "2.0", "stages": {"a": {"cmd": "x", "outs": outs}}})
    assert find_changed_files(tmp_path, read_graph(tmp_path)) == ["data/b.json"]
