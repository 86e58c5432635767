import pytest
from click.testing import CliRunner

from pipeline.video.clips import decode
from tests.support.small_project import small_project
from vpo.clips import main


@pytest.fixture
def project(tmp_path, monkeypatch):
    small_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_each_arm_of_one_query_becomes_a_file_that_plays(project):
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 0, done.output
    files = sorted((project / "results/clips").iterdir())
    assert [path.name for path in files] == ["dpo.mp4", "original.mp4"]
    assert all(decode(path.read_bytes()).shape == (4, 16, 16, 3) for path in files)
    assert "query: a dog on grass" in done.output


def test_a_query_is_found_by_a_part_of_its_text(project):
    assert "query: an old mill" in CliRunner().invoke(main, ["--query", "MILL"]).output


def test_a_query_that_is_not_there_is_one_line(project):
    done = CliRunner().invoke(main, ["--query", "zebra"])
    assert done.exit_code == 1 and "no test query" in done.output
