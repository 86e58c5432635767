import json

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from pipeline.d_dpo import count_sources, d_dpo, gather_pairs, main, read_pairs
from pipeline.d_text import d_text
from pipeline.d_video import Feedback, d_video
from pipeline.runtime.io import DataError, read_rows, write_rows
from pipeline.text.ready_records import hash_file
from schemas.base import content_id
from schemas.d_dpo import DDpo
from schemas.params import TrainedArmParams
from schemas.queries import Query
from tests.support.ready_files import DPO, TRIPLES, write_dpo, write_ready
from tests.support.rows import critique_row, refine_row, render_row


@pytest.fixture
def dpo(laptop):
    return laptop.dpo.model_copy(update={"video_pairs": "widest", "when_both": "both"})


@pytest.fixture
def pairs(dpo):
    """One query with both, one with text alone, one with video alone."""
    text, video = [], []
    for query in ("both", "only text"):
        better = refine_row(query=query)
        text += d_text([critique_row(query=query, violated=("accurate",))], {better.prompt_id: better}, dpo)
    for query in ("both", "only video"):
        rows = [render_row(f"{query}{i}", query=query, prompt=f"p{i}", sample=i) for i in range(2)]
        video += d_video(rows, Feedback({f"{query}0": 1.0, f"{query}1": 3.0}), dpo)
    return [*text, *video]


def kept(found):
    return sorted((row.query, row.source) for row in found if hasattr(row, "query"))


ALL = [("both", "text"), ("both", "video"), ("only text", "text"), ("only video", "video")]


def test_a_further_source_of_pairs_is_an_entry_and_no_rule_of_text_and_video_drops_it(pairs, dpo, tmp_path):
    one = pairs[0]
    pair_id = content_id(one.query_id, one.chosen, one.rejected, "people")
    people = DDpo(**one.model_dump() | {"source": "people", "pair_id": pair_id})
    strict = dpo.model_copy(update={"when_both": "text", "video_feedback": False})
    rows = [row for row in d_dpo([*pairs, people], strict, TrainedArmParams()) if isinstance(row, DDpo)]
    assert {row.source for row in rows} == {"text", "people"}
    path = str(tmp_path / "people.jsonl")
    write_rows(path, [people], DDpo)
    assert [row.pair_id for row in read_pairs({"people": path})] == [pair_id]
    with pytest.raises(DataError, match="a pair of source people, but dpo.sources names the file for failures"):
        list(read_pairs({"failures": path}))


def test_the_metrics_count_the_pairs_of_each_source(pairs):
    counts = count_sources(["text", "people"])
    assert sum(counts["text_pairs"](row) for row in pairs) == 2
    assert sum(counts["people_pairs"](row) for row in pairs) == 0


def test_the_union_keeps_all(dpo, pairs):
    assert kept(d_dpo(pairs, dpo, TrainedArmParams())) == ALL


@pytest.mark.parametrize("winner", ["text", "video"])
def test_a_query_with_both_keeps_the_named_source(dpo, pairs, winner):
    loser = {"text": "video", "video": "text"}[winner]
    found = kept(d_dpo(pairs, dpo.model_copy(update={"when_both": winner}), TrainedArmParams()))
    assert found == [item for item in ALL if item != ("both", loser)]


def test_without_text_feedback_no_text_pair_is_left_and_video_pairs_are(dpo, pairs):
    found = list(d_dpo(pairs, dpo.model_copy(update={"when_both": "text"}), TrainedArmParams(text_feedback=False)))
    assert kept(found) == [("both", "video"), ("only video", "video")]
    assert [item.reason for item in found if not hasattr(item, "query")] == ["feedback_off"]


def test_feedback_can_be_switched_off_for_the_main_arm(dpo, pairs):
    found = d_dpo(pairs, dpo.model_copy(update={"video_feedback": False}), TrainedArmParams())
    assert kept(found) == [("both", "text"), ("only text", "text")]


def test_flipped_labels_exchange_chosen_and_rejected(dpo, pairs):
    for before, after in zip(
        d_dpo(pairs, dpo, TrainedArmParams()), d_dpo(pairs, dpo, TrainedArmParams(labels="flipped")), strict=True
    ):
        assert (after.chosen, after.rejected) == (before.rejected, before.chosen)
        assert (after.score_chosen, after.chosen_id) == (before.score_rejected, before.rejected_id)
        assert (after.chosen_origin, after.pair_id != before.pair_id) == ("policy", True)


def test_random_labels_exchange_about_half_and_do_so_again(dpo, pairs):
    many = [pair.model_copy(update={"pair_id": f"{n:016x}"}) for n in range(200) for pair in pairs[:1]]
    rows = list(d_dpo(many, dpo, TrainedArmParams(labels="random"), seed=3))
    flipped = [row.chosen == many[0].rejected for row in rows]
    assert 70 < sum(flipped) < 130
    assert rows == list(d_dpo(many, dpo, TrainedArmParams(labels="random"), seed=3))
    assert rows != list(d_dpo(many, dpo, TrainedArmParams(labels="random"), seed=4))


@pytest.fixture
def stage(root, tmp_path):
    """Run the stage with a ready D_dpo; return (its rows, why others left, its metrics, what it said)."""

    def run(path, *options, status=0, seed=0):
        tree = YAML(typ="safe").load((root / "params.yaml").read_text())
        tree["d_dpo"]["path"], tree["base"]["seed"] = path, seed
        tree["dpo"]["arms"]["dpo_random"] = {"labels": "random", "video": tree["dpo"]["sources"]["video"]}
        text = json.dumps(tree)  # is YAML
        (tmp_path / "params.yaml").write_text(text.replace("pipeline/templates/", f"{root}/pipeline/templates/"))
        out = tmp_path / "data/dpo/d_dpo.jsonl"
        done = CliRunner().invoke(main, [str(out), *options, "--params", str(tmp_path / "params.yaml")])
        assert done.exit_code == status, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        if status:
            return [], {}, {}, done.output
        metrics = json.loads((tmp_path / "results/dpo/d_dpo.json").read_text())
        assert metrics["units_in"] == metrics["units_done"] + metrics["units_dropped"]
        return list(read_rows(out, DDpo)), metrics["dropped"], metrics, done.output

    return run


@pytest.mark.parametrize("name", DPO)
def test_a_ready_d_dpo_is_the_same_in_every_form(stage, tmp_path, name):
    rows, dropped, _, _ = stage(write_dpo(tmp_path, name))
    assert [(row.query, row.chosen, row.rejected) for row in rows] == TRIPLES and dropped == {}


def test_pairs_without_a_preference_leave_a_ready_d_dpo_with_a_reason(stage, tmp_path):
    records = [
        {"query": "a dog", "chosen": "A dog runs.", "rejected": "A dog runs. "},
        {"query": "a café", "chosen": "A café at night.", "rejected": "A cafe\u0301 at night."},
        {"query": "a dog", "chosen": "A dog runs.", "rejected": "dog"},
        {"query": "a dog", "chosen": "A dog runs.", "rejected": "dog"},
        {"query": "a cat", "chosen": "A cat.", "rejected": "A cat sits.", "score_chosen": 1.0, "score_rejected": 3.0},
        {"query": "a fox", "chosen": "A fox.", "rejected": "fox", "source": "vidprom"},
    ]
    rows, dropped, metrics, said = stage(write_ready(tmp_path, "pairs.jsonl", records))
    assert [(row.query, row.source) for row in rows] == [("a dog", "text"), ("a fox", "text")]
    assert dropped == {"no_preference": 3, "duplicate": 1} and metrics["units_in"] == 6
    assert (metrics["text_pairs"], metrics["video_pairs"]) == (2, 0)
    assert metrics["source_sha256"] == hash_file(tmp_path / "pairs.jsonl")
    assert "source is vidprom in 1 records, none of dpo.sources" in said and "rename that column" in said


def test_an_arm_without_text_feedback_keeps_no_text_pair_and_says_so(stage, tmp_path):
    rows, dropped, _, _ = stage(write_dpo(tmp_path, "ours.jsonl"), "--arm", "dpo_no_text")
    assert rows == [] and dropped == {"feedback_off": len(TRIPLES)}


def test_an_arm_takes_video_pairs_from_the_file_of_its_own(pairs, laptop, tmp_path):
    text, checked = (str(tmp_path / name) for name in ("text.jsonl", "checked.jsonl"))
    write_rows(text, [pair for pair in pairs if pair.source == "text"], DDpo)
    video = [pair for pair in pairs if pair.source == "video"]
    write_rows(checked, video[:1], DDpo)
    write_rows(tmp_path / "all.jsonl", video, DDpo)
    dpo = laptop.dpo.model_copy(update={"sources": {"text": text, "video": checked}})
    params = laptop.model_copy(update={"dpo": dpo})
    assert len(gather_pairs(params)[0]) == 3
    arm = TrainedArmParams(text_feedback=False, video=str(tmp_path / "all.jsonl"))
    of_arm = gather_pairs(params, arm=arm)[0]
    assert [pair.pair_id for pair in of_arm if pair.source == "video"] == [pair.pair_id for pair in video]
    assert kept(d_dpo(of_arm, dpo, arm)) == [("both", "video"), ("only video", "video")]


def test_an_arms_departures_and_the_seed_reach_its_pairs(stage, tmp_path):
    records = [{"query": f"a dog {number}", "chosen": "A dog runs.", "rejected": "dog"} for number in range(30)]
    path = write_ready(tmp_path, "pairs.jsonl", records)
    kept, one, other = (
        stage(path)[0],
        stage(path, "--arm", "dpo_random")[0],
        stage(path, "--arm", "dpo_random", seed=1)[0],
    )
    assert {row.chosen for row in kept} == {"A dog runs."}
    sides = [[row.chosen for row in rows] for rows in (one, other)]
    assert all({*side} == {"A dog runs.", "dog"} for side in sides) and sides[0] != sides[1]
    assert {row.rule.partition(", labels ")[2] for row in one} == {"random"}


def test_a_ready_d_dpo_with_a_test_query_is_refused_by_the_stage(stage, tmp_path):
    query = TRIPLES[0][0]
    row = Query(
        query_id=content_id(f"A {query}!"),
        query=f"A {query}!",
        split="test",
        safety=False,
        raw=query,
        source="s",
        source_id="1",
    )
    write_rows(tmp_path / "test.jsonl", [row], Query)
    *_, said = stage(write_dpo(tmp_path, "ours.jsonl"), "--test", str(tmp_path / "test.jsonl"), status=1)
    assert "queries are in the test split or resemble one of it" in said


def test_balance_draws_pairs_without_a_lead_in_length_and_names_the_queries_that_lose_all(dpo, pairs):
    (first, *_) = pairs

    def sided(query, chosen, rejected):
        values = {"query_id": query, "pair_id": query, "chosen": chosen, "rejected": rejected}
        return first.model_copy(update=values)

    given = [sided("a", "1 2 3", "1"), sided("b", "1", "1 2 3"), sided("c", "1 2 3 4 5", "1")]
    by_length = dpo.model_copy(update={"balance": "length"})
    found = list(d_dpo(given, by_length, TrainedArmParams()))
    assert [row.pair_id for row in found if isinstance(row, DDpo)] == ["a", "b"]
    assert [(item.input_id, item.reason) for item in found if not isinstance(item, DDpo)] == [("c", "unbalanced")]
    assert len(list(d_dpo(given, dpo, TrainedArmParams()))) == 3


def test_words_of_a_ready_set_do_not_steer_the_terminal(root, tmp_path, monkeypatch, vpo_home):
    monkeypatch.chdir(root)
    record = {"query": "a dog", "chosen": "A dog runs.", "rejected": "dog", "source": "\x1b[2Jvidprom\u202e"}
    path = write_ready(tmp_path, "a.jsonl", [record])
    changed = tmp_path / "params.yaml"
    changed.write_text((root / "params.yaml").read_text().replace("d_dpo:\n  path:", f"d_dpo:\n  path: {path}", 1))
    done = CliRunner().invoke(main, [str(tmp_path / "data/d_dpo.jsonl"), "--params", str(changed)])
    assert done.exit_code == 0, done.output
    assert "source is ^[[2Jvidprom<U+202E> in 1 records" in done.stderr
    assert "\x1b" not in done.output and "\u202e" not in done.output
