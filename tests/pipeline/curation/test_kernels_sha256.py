import hashlib

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.curation.kernels_sha256 import hash_heads
from pipeline.curation.tokens import to_utf8


@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=6))
def test_heads_are_the_first_64_bits_of_hashlib_s_digest(texts):
    expected = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
    assert hash_heads(*to_utf8(pl.Series(texts, dtype=pl.String))).tolist() == expected


def test_every_length_around_a_block_s_end_is_padded_rightly():
    texts = ["x" * size for size in range(130)]
    expected = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    assert [f"{head:016x}" for head in hash_heads(*to_utf8(pl.Series(texts)))] == expected
