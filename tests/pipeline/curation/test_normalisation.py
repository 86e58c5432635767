import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.normalisation import SYMBOL, normalise
from pipeline.text.clean import clean, tokens

PIECES = st.sampled_from(
    "&amp; &#39; &quot; -ar 16:9 --motion 2 -neg blurry, -camera zoom in prompt: promt : /create “ ” \" ' ` \n "
    "\t \x00  \u200b ﬁ é e\u0301 ß À × 犬 a dog, cat. slow-motion sci-fi [ ] ( ) -- - – | ; : -seed 5 film-ar 2:1 "
    "www. http://x <@12> @bob <#3> A-b B- µ ½ … ’s \\ ^ ~ _a_ ſ K".split(" ")
)
TYPED = st.lists(PIECES | st.text(st.characters(max_codepoint=0x17F), max_size=6), max_size=10).map(" ".join)


def one_by_one(text, keep_flags):
    query = clean(text, keep_flags)
    return query, clean(text, keep_flags=True), " ".join(tokens(query)), len(SYMBOL.findall(query))


@given(keep_flags=st.booleans(), texts=st.lists(TYPED | st.text(st.characters(exclude_categories=["Cs"])), max_size=8))
@settings(max_examples=400, deadline=None)
def test_many_texts_are_cleaned_as_each_one_is(keep_flags, texts):
    frame = normalise(pl.Series(texts, dtype=pl.String), keep_flags)
    assert frame.rows() == [one_by_one(text, keep_flags) for text in texts]


def test_real_queries_are_cleaned_as_each_one_is(shared_data):
    typed = json.loads((shared_data / "vidprom_queries.json").read_text(encoding="utf-8"))
    assert normalise(pl.Series(typed), False).rows() == [one_by_one(text, False) for text in typed]
