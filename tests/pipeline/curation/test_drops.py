import hashlib

import numpy as np
import polars as pl

from pipeline.curation.drops import describe_drops, list_duplicates, list_refused, make_drops
from pipeline.curation.filters import filter_rows
from pipeline.curation.query_ids import hash_queries, spell_ids
from pipeline.curation.rules import check_readable
from pipeline.curation.sources import Raw, to_frame
from schemas.reasons import Reason

TEXTS = ["a red fox in snow", "a naked child in a room", "a red fox, in snow!", "a dog -> x @ ###"]


def test_one_value_stands_for_all_rows():
    drops = make_drops(np.array([3, 5]), "similar", ["x", "y"], score=np.array([0.5, 1.0]))
    assert drops.to_dicts() == [
        {"row": 3, "reason": "similar", "detail": "x", "score": 0.5, "witness": None},
        {"row": 5, "reason": "similar", "detail": "y", "score": 1.0, "witness": None},
    ]
    assert make_drops([], "similar", []).schema == drops.schema


def test_a_drop_names_its_witness_and_keeps_no_text_that_may_not_be_kept(laptop):
    params = laptop.queries.model_copy(update={"min_words": 1, "languages": None})
    frame = check_readable(to_frame([Raw(f"s{row}", text) for row, text in enumerate(TEXTS[:3])]), params)
    filtered = filter_rows(frame, params)
    drops = pl.concat([list_duplicates(frame["source_id"], filtered), list_refused(filtered)])
    heads = filtered.facts["query_id"].to_numpy()
    prohibited, duplicate = describe_drops(frame, drops, heads).to_dicts()
    assert (prohibited["input_id"], prohibited["reason"], prohibited["raw"]) == ("s1", Reason.PROHIBITED, None)
    assert prohibited["detail"].endswith(hashlib.sha256(TEXTS[1].encode()).hexdigest())
    assert (duplicate["input_id"], duplicate["reason"], duplicate["raw"]) == ("s2", Reason.DUPLICATE, TEXTS[2])
    assert (duplicate["detail"], duplicate["score"]) == ("to s0", 1.0)
    assert duplicate["witness_id"] == spell_ids(hash_queries([TEXTS[0]])).item()
