import pytest
from click.testing import CliRunner

from pipeline.runtime.io import write_json, write_rows
from schemas.reward import Answer, Reward
from tests.support.rows import BY
from tests.support.small_project import small_project, write_params
from vpo.check import find_changed_files, find_leaked_queries, find_wrong_ids, find_wrong_scores, main
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


def test_a_ready_pair_of_a_changed_test_query_is_found_and_other_rows_are_not_compared():
    import duckdb

    connection = duckdb.connect()
    connection.execute("create table queries as select 'a dog on grass' as query, 'test' as split")
    connection.execute("create table d_sft as select 'a cat' as query, 'ready' as arm")
    connection.execute("create table pairs as select 'a dog on grass' as query, 'adjacent' as rule")
    assert find_leaked_queries(connection) == []
    connection.execute("""insert into pairs values ('A "dog" on grass.', 'ready')""")
    assert find_leaked_queries(connection) == ['A "dog" on grass.']


@pytest.fixture
def wired(tmp_path, laptop):
    """Two clips of one query and their pair, as `vpo check` finds them, and params of a checklist of two questions."""
    lines = [f'{{"question_id": "{name}", "question": "?", "weight": {weight}, "dimension": "d"}}' for name, weight in
             (("a", 0.7), ("b", 0.2))]  # fmt: skip
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    model = laptop.reward.models["checklist"].model_copy(update={"questions": str(tmp_path / "questions.jsonl")})
    reward = laptop.reward.model_copy(update={"models": {"checklist": model}})

    def check(yes, high, low, gap):
        clips = [
            Reward(
                video_id=f"v{number}", query_id="q", prompt_id=f"p{number}", frames_hash="f", reward="checklist",
                scored_text="x", dims=(), scored_by=BY,
                answers=tuple(Answer(question_id=name, answer=name in words) for name in "ab"),
            )
            for number, words in enumerate(yes)
        ]  # fmt: skip
        write_rows(tmp_path / "reward.parquet", clips, Reward)
        import duckdb

        connection = duckdb.connect()
        connection.execute(f"create view reward_dpo as from '{tmp_path / 'reward.parquet'}'")
        connection.execute("create table render_dpo as from (values ('p0', 'v0', 0), ('p1', 'v1', 0)) "
                           "t(prompt_id, video_id, replicate)")  # fmt: skip
        connection.execute("create table d_video as select 'pair' as pair_id, 'p0' as chosen_id, 'p1' as rejected_id, "
                           f"{high}::double as score_chosen, {low}::double as score_rejected")  # fmt: skip
        params = laptop.model_copy(update={"reward": reward, "dpo": laptop.dpo.model_copy(update={"reward_gap": gap})})
        return find_wrong_scores(connection, params)

    return check


def test_a_pair_with_the_scores_of_its_clips_and_a_gap_beyond_the_least_is_sound(wired):
    assert wired(["a", "b"], 0.7, 0.2, gap=0.49) == []


def test_equal_scores_and_a_gap_of_just_the_least_are_no_pair(wired):
    assert wired(["a", "a"], 0.7, 0.7, gap=0.0) == ["pair"]
    assert wired(["a", "b"], 0.7, 0.2, gap=0.5) == ["pair"]


def test_scores_of_another_clip_are_noticed(wired):
    assert wired(["a", "b"], 0.7, 0.0, gap=0.1) == ["pair"]
    assert wired(["a"], 0.7, 0.2, gap=0.1) == ["pair"]
