import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.benchmark_overlap import count_leakage, describe_prompt, drop_overlap, find_overlap
from pipeline.curation.bleu import GUARD
from pipeline.curation.filters import filter_rows
from pipeline.curation.rules import check_readable
from pipeline.curation.sources import Raw, to_frame
from pipeline.curation.split import NEAR
from pipeline.curation.tokens import tokenize
from tests.support.sim import sim


def test_a_prompt_that_may_not_be_written_down_is_named_by_its_number():
    assert describe_prompt("a.txt", 4, "a dog runs") == "a.txt: a dog runs"
    assert describe_prompt("a.txt", 4, "a naked child") == "a.txt: prompt 5"
    assert describe_prompt("a.txt", 4, "write to bob@x.org") == "a.txt: prompt 5"


def test_kept_rows_that_resemble_a_listed_prompt_leave_with_its_name_and_are_counted_by_list(laptop):
    texts = ["a red fox in deep snow", "a dog", "a blue boat on the wide lake", "a blue boat on the wide lake", "no"]
    params = laptop.queries.model_copy(update={"min_words": 2, "max_similarity": 0.9, "languages": None})
    filtered = filter_rows(check_readable(to_frame([Raw(text, text) for text in texts]), params), params)
    lists = {"a.txt": ["a kite", "a red fox in deep snow"], "b.txt": ["a blue boat on the wide lake"], "c.txt": []}
    overlap = drop_overlap(filtered, lists, NEAR)
    assert [texts[filtered.passed[row]] for row in overlap.left] == ["a dog"]
    assert overlap.counts == {"a.txt": 1, "b.txt": 1, "c.txt": 0}
    assert overlap.drops.select("row", "reason", "detail").rows() == [
        (0, "benchmark", "a.txt: a red fox in deep snow"), (2, "benchmark", "b.txt: a blue boat on the wide lake")
    ]  # fmt: skip


TEXT = st.lists(st.sampled_from("abcdef"), max_size=7).map(" ".join)


@given(
    rows=st.lists(st.tuples(TEXT, st.sampled_from(["sft", "dpo", "test"])), max_size=25),
    listed=st.lists(TEXT, max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_leakage_counts_every_similar_pair_once(rows, listed):
    texts, splits = [text for text, _ in rows], [split for _, split in rows]

    def alike(one, other):
        return bool(one and other) and sim(one.split(), other.split()) >= NEAR - GUARD

    expected = {
        "benchmark": sum(alike(text, prompt) for text in texts for prompt in listed),
        "splits": sum(
            alike(texts[row], texts[other]) and splits[row] != splits[other]
            for row in range(len(texts))
            for other in range(row)
        ),
    }
    lists = {"a.txt": listed[:3], "b.txt": listed[3:]}
    assert count_leakage(tokenize(pl.Series(texts, dtype=pl.String)), splits, lists, NEAR) == expected


@given(rows=st.lists(TEXT.filter(bool), min_size=1, max_size=20), prompts=st.lists(TEXT, max_size=6), data=st.data())
@settings(max_examples=150, deadline=None)
def test_the_overlap_is_that_of_brute_force(rows, prompts, data):
    kept = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))))
    expected = []
    for row in kept.tolist():
        sims = [sim(rows[row].split(), prompt.split()) if prompt else 0.0 for prompt in prompts]
        first = next((number for number, value in enumerate(sims) if value >= NEAR - GUARD), None)
        if first is not None:
            expected.append((row, first, sims[first]))
    gone, numbers, scores = find_overlap(tokenize(pl.Series(rows, dtype=pl.String)), kept, prompts, NEAR)
    assert list(zip(gone.tolist(), numbers.tolist(), scores.tolist(), strict=True)) == expected
