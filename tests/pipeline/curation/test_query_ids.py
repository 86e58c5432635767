from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.query_ids import hash_queries, order_by_chance, spell_ids
from schemas.base import content_id


@given(ids=st.lists(st.text(max_size=4), unique=True, max_size=12), seed=st.integers(0, 3), more=st.text(max_size=5))
def test_more_queries_do_not_reorder_the_draw(ids, seed, more):
    order = [ids[row] for row in order_by_chance(ids, seed)]
    if more not in ids:
        longer = [*ids, more]
        assert [longer[row] for row in order_by_chance(longer, seed) if longer[row] != more] == order


def test_another_seed_draws_another_order():
    ids = [str(number) for number in range(20)]
    assert order_by_chance(ids, 0).tolist() == order_by_chance(ids, 0).tolist() != order_by_chance(ids, 1).tolist()


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), seed=st.integers(0, 3))
def test_ids_and_the_draw_are_those_of_content_id(texts, seed):
    ids = [content_id(text) for text in texts]
    assert spell_ids(hash_queries(texts)).to_list() == ids
    assert order_by_chance(ids, seed).tolist() == sorted(
        range(len(ids)), key=lambda row: content_id("draw", seed, ids[row])
    )
