import duckdb
from click.testing import CliRunner

from tests.support.small_project import write_params
from vpo.check import find_leaked_queries, main


def test_an_empty_project_is_no_sound_one(tmp_path, monkeypatch):
    write_params(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main)
    assert done.exit_code == 1
    assert "nothing to check: queries, d_sft" in done.output


def test_a_ready_pair_of_a_changed_test_query_is_found_and_other_rows_are_not_compared():
    connection = duckdb.connect()
    connection.execute("create table queries as select 'a dog on grass' as query, 'test' as split")
    connection.execute("create table d_sft as select 'a cat' as query, 'ready' as arm")
    connection.execute("create table pairs as select 'a dog on grass' as query, 'adjacent' as rule")
    assert find_leaked_queries(connection) == []
    connection.execute("""insert into pairs values ('A "dog" on grass.', 'ready')""")
    assert find_leaked_queries(connection) == ['A "dog" on grass.']
