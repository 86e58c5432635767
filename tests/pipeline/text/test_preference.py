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


def test_the_same_pair_twice_is_kept_once_and_the_other_way_round_is_another():
    pairs = [pair(), pair(rejected="dog "), pair(source="video"), pair("dog", "A dog runs.")]
    items = list(drop_undecided(pairs))
    assert [item.reason if isinstance(item, Dropped) else "" for item in items] == ["", "duplicate", "", ""]
