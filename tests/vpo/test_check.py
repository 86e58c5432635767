import pytest
from click.testing import CliRunner

from pipeline.runtime.io import read_rows, write_rows
from schemas.render import Render
from schemas.reward import Answer, Reward
from tests.support.rows import BY
from tests.support.small_project import small_project, write_params
from vpo.check import CHECKS, find_leaked_queries, find_wrong_ids, find_wrong_scores, main
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


def test_a_prompt_edited_in_a_manifest_of_clips_is_named(tmp_path):
    small_project(tmp_path)
    path = tmp_path / "data/dpo/render.parquet"
    first, *others = read_rows(path, Render)
    write_rows(path, [first.model_copy(update={"prompt": "Another."}), *others], Render)
    (line,) = find_wrong_ids(tmp_path, read_graph(tmp_path))
    assert line.startswith("data/dpo/render.parquet: row 1: prompt_id: not that of its prompt")


def test_a_clip_that_was_made_otherwise_than_its_row_says_is_named(tmp_path):
    small_project(tmp_path)
    path = tmp_path / "data/dpo/render.parquet"
    first, second, *others = read_rows(path, Render)
    foreign = first.model_copy(update={"video_id": second.video_id})
    write_rows(path, [foreign, second.model_copy(update={"seed": 2}), *others], Render)
    lines = find_wrong_ids(tmp_path, read_graph(tmp_path))
    assert [line.split(", ")[0] for line in lines] == [
        f"data/dpo/render.parquet: row {number}: video_id: not that of its prompt" for number in (1, 2)
    ]


def test_a_pair_with_exchanged_sides_is_named(tmp_path):
    small_project(tmp_path)
    path = tmp_path / "data/dpo/d_video.jsonl"
    text = path.read_text().replace('"chosen":', '"aside":', 1).replace('"rejected":', '"chosen":', 1)
    path.write_text(text.replace('"aside":', '"rejected":', 1))
    (line,) = find_wrong_ids(tmp_path, read_graph(tmp_path))
    assert line.startswith("data/dpo/d_video.jsonl:1: pair_id: not that of its texts")


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


TABLES = """
create table queries as from (values ('s1', 'a fox', 'sft'), ('s2', 'a mill', 'sft'), ('d1', 'a train', 'dpo'),
    ('d2', 'rain', 'dpo'), ('t1', 'an owl', 'test'), ('t2', 'a kite', 'test')) t(query_id, query, split);
create table d_sft as from (values ('s1', 'a fox', 'fewshot', 'fox'), ('s2', 'a mill', 'fewshot', 'better mill'))
    t(query_id, query, arm, prompt);
create table critique_sft as from (values ('s1', 'fox', true), ('s2', 'mill', false)) t(query_id, prompt, aligned);
create table refine_sft as from (values ('s2', 'ms', 'mill', 'better mill', false, ['accurate']))
    t(query_id, prompt_id, prompt, p_refined, aligned, violated);
create table fewshot_sft as from (values ('fs', 'fewshot', {'model': 'teacher'})) t(prompt_id, arm, written_by);
create table rollout_dpo as from (values
    ('d1', 'a train', 'sft', 0, 'r0', 'train', {'model': 'sft'}),
    ('d1', 'a train', 'sft', 1, 'r1', 'slow train', {'model': 'sft'}),
    ('d2', 'rain', 'sft', 0, 'r2', 'rain', {'model': 'sft'}))
    t(query_id, query, arm, sample, prompt_id, prompt, written_by);
create table critique_dpo as select query_id, arm, sample, prompt_id, prompt, prompt_id <> 'r2' as aligned
    from rollout_dpo;
create table refine_dpo as from (values ('d2', 'r2', 'rain', 'soft rain', false, ['helpful']))
    t(query_id, prompt_id, prompt, p_refined, aligned, violated);
create table d_text as from (values ('x', 'd2', 'rain', 'soft rain', 'rain', 'r2', 'refined'))
    t(pair_id, query_id, query, chosen, rejected, rejected_id, rule);
create table d_video as from (values ('v', 'd1', 'a train', 'slow train', 'train', 'r1', 'r0', 'widest', 1.0, 0.5))
    t(pair_id, query_id, query, chosen, rejected, chosen_id, rejected_id, rule, score_chosen, score_rejected);
create view video_pairs as from d_video;
create table render_unchecked as from (values ('d2', 'sft', 0, 'r2', 'rain'))
    t(query_id, arm, sample, prompt_id, prompt);
create table d_dpo as select 'text' as source, pair_id, query_id, query, chosen, rejected, rule from d_text
    union all select 'video', pair_id, query_id, query, chosen, rejected, rule from d_video;
create view pairs as from d_dpo;
create table render as from (values ('dpo', 'c0', 'd1', 'a train', 'r0', 'train', 'h0', 0, 7),
    ('dpo', 'c1', 'd1', 'a train', 'r1', 'slow train', 'h1', 0, 7),
    ('dpo', 'c2', 'd1', 'a train', 'r0', 'train', 'h2', 1, 8))
    t(lane, video_id, query_id, query, prompt_id, prompt, frames_hash, replicate, seed);
create table reward as select lane, video_id, query_id, prompt_id, frames_hash, query as scored_text from render;
create table rollout_eval as from (values
    ('original', 't1', 'an owl', {'backend': 'query', 'revision': ''}),
    ('original', 't2', 'a kite', {'backend': 'query', 'revision': ''}),
    ('sft', 't1', 'an owl', {'backend': 'transformers', 'revision': 'w1'}),
    ('dpo', 't1', 'an owl', {'backend': 'transformers', 'revision': 'w2'}),
    ('dpo', 't2', 'a kite', {'backend': 'transformers', 'revision': 'w2'})) t(arm, query_id, query, written_by);
create table rollout_eval_dropped as from (values ('sft', 't2/0')) t(arm, input_id);
create table fewshot as from (values ('fs', 'a fox, in [soft] light')) t(prompt_id, prompt);
create table rollout as select prompt_id, prompt from rollout_dpo;
create macro text_feedback() as true;
create macro video_feedback() as true;
"""
FAULTS = [
    ("no query is in two splits", "insert into queries values ('t1', 'an owl', 'dpo')"),
    ("no two splits hold the same text", "update queries set query = 'A Fox' where query_id = 't1'"),
    ("D_SFT is made of sft queries", "update d_sft set query_id = 'd1'"),
    ("pairs are made of dpo queries", "update d_dpo set query_id = 's1'"),
    ("no test query is trained on", "update d_sft set query_id = 't1'"),
    ("no test query is trained on", "update d_dpo set query_id = 't1'"),
    ("a row's query is its query_id's", "update d_sft set query = 'a mill'"),
    ("a row's query is its query_id's", "update d_dpo set query = 'rain'"),
    ("a row's query is its query_id's", "update rollout_dpo set query = 'rain'"),
    ("a row's query is its query_id's", "update rollout_eval set query = 'an owl'"),
    ("D_SFT keeps what was aligned and refines what was not", "update d_sft set prompt = 'mill' where query_id = 's2'"),
    ("D_SFT keeps what was aligned and refines what was not", "update d_sft set prompt = 'x' where query_id = 's1'"),
    ("few-shot prompts come from the teacher and rollouts from the policy", "update fewshot_sft set arm = 'sft'"),
    ("few-shot prompts come from the teacher and rollouts from the policy", "update rollout_dpo set arm = 'fewshot'"),
    ("rollouts are not few-shot rows", "update rollout_dpo set written_by = {'model': 'teacher'}"),
    ("a critique is of the prompt that was rolled out", "update critique_dpo set prompt = 'x' where sample = 1"),
    ("a critique is of the prompt that was rolled out", "update critique_dpo set sample = 5 where sample = 1"),
    ("a refinement belongs to a prompt found flawed", "update refine_sft set aligned = true"),
    ("a refinement belongs to a prompt found flawed", "update refine_dpo set violated = []"),
    ("a text pair is p_refined over p of its own query", "update d_text set chosen = 'rain', rejected = 'soft rain'"),
    ("a text pair is p_refined over p of its own query", "update d_text set query_id = 'd1'"),
    ("a text pair's loser was found flawed", "update critique_dpo set aligned = true"),
    ("a video pair is of two rollouts of its own query", "update d_video set chosen = 'x'"),
    ("a video pair is of two rollouts of its own query", "update d_video set rejected = 'x'"),
    ("a video pair is of two rollouts of its own query", "update d_video set query_id = 'd2'"),
    ("a video pair's prompts both passed the text check", "update critique_dpo set aligned = prompt_id <> 'r0'"),
    ("a video pair's prompts both passed the text check", "update critique_dpo set aligned = prompt_id <> 'r1'"),
    ("a video pair's winner scored higher", "update d_video set score_rejected = 1.0"),
    ("a video pair's winner scored higher", "update d_video set score_rejected = 1.5"),
    ("the unchecked lane renders what the text check refused", "update render_unchecked set prompt = 'x'"),
    ("the unchecked lane renders what the text check refused", "update render_unchecked set sample = 1"),
    ("the unchecked lane renders what the text check refused", "update critique_dpo set aligned = true"),
    ("text feedback that was made is used", "delete from d_dpo where source = 'text'"),
    ("video feedback that was made is used", "delete from d_dpo where source = 'video'"),
    ("chosen differs from rejected", "update d_dpo set chosen = rejected where source = 'text'"),
    ("a reward is of the clip it names", "update reward set frames_hash = 'h0'"),
    ("a reward is of the clip it names", "update reward set query_id = 'd2' where video_id = 'c0'"),
    ("a reward is of the clip it names", "update reward set video_id = 'c9' where video_id = 'c0'"),
    ("a reward is of the clip it names", "update reward set prompt_id = 'r1' where video_id = 'c0'"),
    ("a reward was scored against its query or prompt", "update reward set scored_text = 'x' where video_id = 'c2'"),
    ("sibling prompts share their noise", "update render set seed = 8 where video_id = 'c1'"),
    ("every arm met every test query", "delete from rollout_eval where arm = 'dpo' and query_id = 't2'"),
    ("every arm met every test query", "update rollout_eval_dropped set arm = 'dpo'"),
    ("every arm met every test query", "update rollout_eval_dropped set input_id = 't1/0'"),
    ("trained arms have weights of their own",
     "update rollout_eval set written_by = {'backend': 'transformers', 'revision': 'w1'} where arm = 'dpo'"),
    *(("prompts hold no marker and no chat token", f"update {table} set prompt = 'a fox {mark}'")
      for table in ("fewshot", "rollout") for mark in ("[[start]]", "[[ end ]]", "<|eot_id|>")),
]  # fmt: skip
ALLOWED = [
    ("D_SFT is made of sft queries", "update d_sft set query_id = 'd1', arm = 'ready'"),
    ("pairs are made of dpo queries", "update d_dpo set query_id = 's1', rule = 'ready'"),
    ("a row's query is its query_id's", "update d_dpo set query = 'x', rule = 'ready'"),
    ("text feedback that was made is used", "create or replace macro text_feedback() as false; delete from d_dpo"),
    ("video feedback that was made is used", "create or replace macro video_feedback() as false; delete from d_dpo"),
    ("video feedback that was made is used", "update d_video set query_id = 'd2'; delete from d_dpo"),
    ("a reward was scored against its query or prompt",
     "update reward set scored_text = 'train' where video_id = 'c0'"),
    ("sibling prompts share their noise", "update render set seed = 9 where video_id = 'c2'"),
    ("trained arms have weights of their own",
     "update rollout_eval set written_by = {'backend': 'file', 'revision': ''}"),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound():
    import duckdb

    connection = duckdb.connect()
    connection.execute(TABLES)
    return connection


@pytest.fixture
def after(sound):
    """Return (check, a change in SQL) -> whether the check names rows; the change is undone."""

    def is_broken(name, change):
        sound.execute("begin")
        try:
            sound.execute(change)
            return bool(sound.execute(CHECKS[name]).fetchall())
        finally:
            sound.execute("rollback")

    return is_broken


def test_sound_rows_break_no_check_and_each_check_has_a_fault(sound):
    assert {name: rows for name, query in CHECKS.items() if (rows := sound.execute(query).fetchall())} == {}
    assert {name for name, _ in FAULTS} == {*CHECKS}


@pytest.mark.parametrize(("name", "change"), FAULTS)
def test_a_fault_in_one_column_is_named(after, name, change):
    assert after(name, change)


@pytest.mark.parametrize(("name", "change"), ALLOWED)
def test_what_a_run_may_hold_is_no_fault(after, name, change):
    assert not after(name, change)
