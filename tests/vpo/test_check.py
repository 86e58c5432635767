from click.testing import CliRunner

from tests.support.small_project import write_params
from vpo.check import main


def test_an_empty_project_is_no_sound_one(tmp_path, monkeypatch):
    write_params(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main)
    assert done.exit_code == 1
    assert "nothing to check: queries, d_sft" in done.output
