from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.bleu import ORDER
from pipeline.curation.ngrams import ABSENT, NUMBERED, Ngrams
from tests.support.sim import ROWS, tokens_of


@given(rows=ROWS, roles=st.lists(st.sampled_from([0, 1, 2]), min_size=24, max_size=24))
def test_equal_n_grams_that_repeat_have_equal_ids_and_their_count(rows, roles):
    tokens, role = tokens_of(rows), np.array(roles[: len(rows)], np.int8)
    grams = Ngrams(tokens, role)
    for n in range(1, ORDER + 1):
        places = [
            (tuple(row[i : i + n]), begin + i, kind)
            for row, begin, kind in zip(rows, tokens.starts.tolist(), role, strict=False)
            for i in range(len(row) - n + 1)
        ]
        counts = Counter(gram for gram, _, kind in places if kind != ABSENT)
        numbered = {gram for gram, _, kind in places if kind == NUMBERED}
        ids = {}
        for gram, place, kind in places:
            number = grams.ids[n - 1, place]
            if kind == ABSENT or counts[gram] < 2 or gram not in numbered:
                assert number == -1
            else:
                assert grams.counts[number] == counts[gram]
                assert grams.bases[n - 1] <= number < grams.bases[n]
                assert ids.setdefault(gram, number) == number
        assert len(set(ids.values())) == len(ids) == grams.bases[n] - grams.bases[n - 1]
