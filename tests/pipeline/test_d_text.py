import pytest

from pipeline.d_text import d_text
from schemas.base import content_id
from schemas.d_text import DText
from tests.support.rows import critique_row, refine_row


@pytest.fixture
def dpo(laptop):
    return laptop.dpo.model_copy(update={"pairs_per_query": None})


def by_prompt(*rows):
    return {row.prompt_id: row for row in rows}


def test_the_refined_prompt_is_chosen_over_the_flawed_one(dpo):
    (pair,) = d_text([critique_row(violated=("accurate",))], by_prompt(refine_row()), dpo)
    assert (pair.chosen, pair.rejected) == ("A better dog runs.", "A dog runs.")
    assert (pair.source, pair.chosen_origin, pair.decided_by) == ("text", "refined", ("accurate",))
    assert pair.pair_id == content_id(pair.query_id, pair.chosen, pair.rejected, "text")


def test_each_flawed_sample_makes_a_pair(dpo):
    rows = [critique_row(violated=("accurate",), prompt=f"p{i}", sample=i) for i in range(3)]
    refined = by_prompt(*[refine_row(prompt=f"p{i}", p_refined=f"better {i}", sample=i) for i in range(3)])
    assert {pair.rejected for pair in d_text(rows, refined, dpo)} == {"p0", "p1", "p2"}
    assert len(list(d_text(rows, refined, dpo.model_copy(update={"pairs_per_query": 1})))) == 1


def test_pairs_stay_with_their_query(dpo):
    rows = [critique_row(violated=("accurate",), query=q, prompt=f"{q} p") for q in ("x one", "x two")]
    refined = by_prompt(*[refine_row(query=q, prompt=f"{q} p", p_refined=f"{q} better") for q in ("x one", "x two")])
    for pair in d_text(rows, refined, dpo):
        assert pair.chosen.startswith(pair.query) and pair.rejected.startswith(pair.query)


@pytest.mark.parametrize(
    ("violated", "refined", "reason"),
    [((), [], "no_flaw"), (("accurate",), [], "not_refined"), (("accurate",), ["A dog runs."], "no_pair")],
)
def test_a_query_without_a_pair_says_why(dpo, violated, refined, reason):
    rows = by_prompt(*[refine_row(p_refined=text) for text in refined])
    (dropped,) = d_text([critique_row(violated=violated)], rows, dpo)
    assert dropped.reason == reason


def test_every_column_of_a_pair_by_hand(dpo):
    params = dpo.model_copy(update={"target": "2B", "round": 3})
    refined = refine_row(violated=("accurate", "helpful"), safety=True)
    (pair,) = d_text([critique_row(violated=("accurate",), safety=True)], by_prompt(refined), params)
    assert pair == DText(
        pair_id=content_id(refined.query_id, refined.p_refined, refined.prompt, "text"), query_id=refined.query_id,
        query="a dog", chosen="A better dog runs.", rejected="A dog runs.", source="text", rule="refined_over_flawed",
        chosen_origin="refined", target="2B", round=3, chosen_id=refined.p_refined_id, rejected_id=refined.prompt_id,
        decided_by=("accurate", "helpful"), safety=True,
    )  # fmt: skip


def test_of_more_pairs_than_are_wanted_those_with_the_first_ids_are_kept_in_order(dpo):
    rows = [critique_row(violated=("accurate",), prompt=f"p{i}", sample=i) for i in range(6)]
    refined = by_prompt(*[refine_row(prompt=f"p{i}", p_refined=f"better {i}", sample=i) for i in range(6)])
    ids = [pair.pair_id for pair in d_text(rows, refined, dpo)]
    kept = [pair.pair_id for pair in d_text(rows, refined, dpo.model_copy(update={"pairs_per_query": 4}))]
    assert ids == sorted(ids) and kept == ids[:4]


def test_what_is_no_pair_says_of_which_query_and_how_many_were_flawed(dpo):
    flawed = [critique_row(violated=("accurate",), prompt=f"p{i}", sample=i) for i in range(2)]
    sound = critique_row(prompt="fine", sample=2)
    (dropped,) = d_text([*flawed, sound], {}, dpo)
    assert (dropped.input_id, dropped.detail) == (sound.query_id, "2 flawed, none refined")
    (dropped,) = d_text([sound], by_prompt(refine_row(prompt="fine")), dpo)  # an aligned one makes no pair
    assert dropped.reason == "no_flaw"
    (dropped,) = d_text(flawed[:1], by_prompt(refine_row(prompt="p0", p_refined="p0")), dpo)
    assert dropped.detail == "every refinement equals its prompt"
