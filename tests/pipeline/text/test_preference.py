import pytest

from pipeline.text.preference import drop_undecided, explain_no_preference
from schemas.base import Dropped, content_id
from schemas.d_dpo import DDpo


def pair(chosen="A dog runs.", rejected="dog", **columns):
    return DDpo(
        pair_id=content_id(chosen, rejected, str(columns)), query_id="x", query="a dog", chosen=chosen,
        rejected=rejected,
        **{"source": "text", "rule": "ready", "chosen_origin": "refined", "chosen_id": "c", "rejected_id": "r",
           "decided_by": (), "safety": False} | columns,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"rejected": "A dog runs. "}, "one text"),
        ({"rejected": "A  dog\nruns."}, "one text"),
        ({"chosen": "A café.", "rejected": "A cafe\u0301."}, "one text"),
        ({"rejected": "A\u00a0dog runs."}, "one text"),
        ({"rejected": "A dog\u200b runs.\ufeff"}, "one text"),
        ({"rejected": "\u202aA d\u00adog runs.\u202c"}, "one text"),
        ({"score_chosen": 1.0, "score_rejected": 3.0}, "score_chosen 1 is below score_rejected 3"),
        ({"score_chosen": 2.0, "score_rejected": 2.0}, "score_chosen 2 is equal to"),
        ({"score_chosen": 3.0, "score_rejected": 1.0}, None),
        ({"score_chosen": 3.0}, None),
        ({"rejected": "a dog runs."}, None),
    ],
)
def test_a_pair_without_a_preference_is_told(columns, why):
    explained = explain_no_preference(pair(**columns))
    assert (why is None and explained is None) or why in explained


def reasons(*pairs):
    return [item.reason if isinstance(item, Dropped) else "" for item in drop_undecided(pairs)]


def test_the_same_pair_twice_is_kept_once_and_that_of_another_source_is_another():
    assert reasons(pair(), pair(rejected="dog "), pair(source="video")) == ["", "duplicate", ""]


def test_two_pairs_of_one_source_that_contradict_each_other_leave_both():
    other_way = pair("dog", "A dog runs.")
    assert reasons(pair(), other_way, pair(rejected="cat")) == ["no_preference", "no_preference", ""]
    assert reasons(pair(), pair("dog", "A dog runs.", source="video")) == ["", ""]
    doubted = pair("dog", "A dog runs.", score_chosen=1.0, score_rejected=2.0)
    assert reasons(pair(), doubted) == ["", "no_preference"]
