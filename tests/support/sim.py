"""sim of two token lists, compiled and by sacrebleu, and small corpora to compare."""

from collections import Counter

import numpy as np
import polars as pl
from hypothesis import strategies as st
from sacrebleu.metrics import BLEU

from pipeline.curation.bleu import ORDER
from pipeline.curation.tokens import Tokens, tokenize

# few words, so that rows are often alike, and lengths around the order of the n-grams
ROW = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9).map(tuple)
VARIED = st.tuples(ROW, st.lists(st.sampled_from("abcdefg"), max_size=2)).map(lambda pair: (*pair[0], *pair[1]))
ROWS = st.lists(ROW | VARIED, max_size=24)
THRESHOLD = st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.9, 1.0])


def sim(a, b) -> float:
    """Return sim by the compiled kernel."""
    from pipeline.curation import kernels_similar

    matches = np.array([shared(n, a, b) for n in range(1, ORDER + 1)])
    return kernels_similar.similarity(matches, len(a), len(b))


def shared(n: int, a, b) -> int:
    """Return M_n of two token lists."""
    grams = [Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)) for text in (a, b)]
    return (grams[0] & grams[1]).total()


def tokens_of(rows) -> Tokens:
    """Return the tokens of lists of words."""
    return tokenize(pl.Series([" ".join(row) for row in rows], dtype=pl.String))


def oracle_bleu(hypothesis, reference):
    """sacrebleu's sentence BLEU with a floor of 0.1 matches, effective order, words as they stand."""
    bleu = BLEU(smooth_method="floor", smooth_value=0.1, effective_order=True, tokenize="none")
    return bleu.sentence_score(" ".join(hypothesis), [" ".join(reference)]).score / 100


def oracle_sim(a, b):
    return max(oracle_bleu(a, b), oracle_bleu(b, a)) if set(a) & set(b) else 0.0
