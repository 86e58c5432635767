import pytest

from pipeline.d_dpo import count_sources, d_dpo, read_pairs
from pipeline.d_text import d_text
from pipeline.d_video import Feedback, d_video
from pipeline.runtime.io import DataError, write_rows
from schemas.d_dpo import DDpo
from schemas.params import TrainedArmParams
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
    people = DDpo(**pairs[0].model_dump() | {"source": "people", "pair_id": "p"})
    strict = dpo.model_copy(update={"when_both": "text", "video_feedback": False})
    rows = [row for row in d_dpo([*pairs, people], strict, TrainedArmParams()) if isinstance(row, DDpo)]
    assert {row.source for row in rows} == {"text", "people"}
    path = str(tmp_path / "people.jsonl")
    write_rows(path, [people], DDpo)
    assert [row.pair_id for row in read_pairs({"people": path})] == ["p"]
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
