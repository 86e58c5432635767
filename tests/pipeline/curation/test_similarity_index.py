from hypothesis import given, settings

from pipeline.curation.bleu import GUARD
from pipeline.curation.ngrams import Ngrams
from pipeline.curation.similarity_index import SimilarityIndex
from tests.support.sim import ROWS, THRESHOLD, oracle_sim, tokens_of


@given(rows=ROWS, threshold=THRESHOLD)
@settings(max_examples=100, deadline=None)
def test_the_index_finds_all_similar_rows_in_the_order_they_were_added(rows, threshold):
    index = SimilarityIndex(Ngrams(tokens_of(rows)), threshold)
    order = list(reversed(range(len(rows))))
    index.add(order)
    for row, words in enumerate(rows):
        others = [other for other in order if other != row]
        expected = [other for other in others if oracle_sim(words, rows[other]) >= threshold - GUARD]
        assert [other for other, _ in index.find_similar(row)] == expected
