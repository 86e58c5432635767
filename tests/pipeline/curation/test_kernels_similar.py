import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation import kernels_similar
from pipeline.curation.bleu import GUARD, ORDER
from pipeline.curation.kernels_similar import IMPOSSIBLE
from tests.support.sim import ROW, oracle_sim, shared


@given(a=ROW, b=ROW, threshold=st.floats(0.05, 1))
@settings(max_examples=300, deadline=None)
def test_a_similar_pair_shares_at_least_what_the_bound_says(a, b, threshold):
    if oracle_sim(a, b) >= threshold - GUARD:
        for n in range(1, ORDER + 1):
            assert shared(n, a, b) >= kernels_similar.find_need(n, len(a), len(b), threshold)


def test_the_table_of_needs_holds_the_need_of_each_pair_of_lengths():
    lengths = np.array([0, 1, 4, 9])
    needs, least = kernels_similar.tabulate_needs(lengths, 0.5)
    for n in range(ORDER):
        for i, a in enumerate(lengths):
            row = [kernels_similar.find_need(n + 1, int(a), int(b), 0.5) if a and b else IMPOSSIBLE for b in lengths]
            assert needs[n, i].tolist() == row
            assert least[n, i] == min(row)
