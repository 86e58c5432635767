"""Query ids of many texts as numbers of 64 bits, and the order by chance that follows from them.

An id is `content_id` of the query: the first 64 bits of a SHA-256, written as 16 hex digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

import numpy as np

from pipeline.curation.arrays import Int64s, UInt64s
from pipeline.curation.tokens import to_utf8

if TYPE_CHECKING:
    import polars as pl


def hash_queries(queries: Iterable[str]) -> UInt64s:
    """Return content_id of each query as a number of 64 bits: a million of them in a second."""
    import polars as pl

    texts = pl.Series("query", queries, pl.String)
    plain = pl.col("query").str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    encoded = texts.to_frame().select(pl.format('["{}"]', plain)).to_series()
    heads = _hash_texts(encoded)
    for row in texts.str.contains(r"[\x00-\x1f]").arg_true():  # which JSON spells in ways of their own
        heads[row] = int(hashlib.sha256(f"[{encode_basestring(texts[row])}]".encode()).hexdigest()[:16], 16)
    return heads


def spell_ids(heads: UInt64s) -> pl.Series:
    """Return a column of the ids whose numbers these are: 16 hex digits each."""
    import polars as pl
    import pyarrow as pa

    digits = heads.astype(">u8").tobytes().hex().encode()
    begins = np.arange(0, len(digits) + 1, 16)
    return pl.Series(pa.LargeStringArray.from_buffers(len(heads), pa.py_buffer(begins), pa.py_buffer(digits)))


def order_by_chance(query_ids: Sequence[str] | pl.Series, seed: int) -> Int64s:
    """Return the indices of `query_ids` in a random order that depends on the seed and each id alone.

    So a longer source changes the draw of no query that was there before.
    """
    import polars as pl

    # content_id("draw", seed, id), spelled out: a million of them
    names = pl.Series("name", query_ids, pl.String)
    lines = names.to_frame().select(pl.format(f'["draw",{seed},"{{}}"]', "name")).to_series()
    return np.argsort(_hash_texts(lines), kind="stable")


def _hash_texts(texts: pl.Series) -> UInt64s:
    from pipeline.curation import kernels_sha256

    return kernels_sha256.hash_heads(*to_utf8(texts))
