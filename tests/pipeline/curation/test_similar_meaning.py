import numpy as np
import polars as pl
import pytest

from pipeline.curation.similar_meaning import DIGITS, drop_similar_meaning, find_similar_meaning
from schemas.reasons import Reason

PASSED = np.arange(100, 110)


def on_a_circle(*degrees):
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float16)


def clouds(n_rows, seed=0, dimensions=6):
    vectors = np.random.default_rng(seed).standard_normal((n_rows, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def one_by_one(vectors, threshold):
    """The rule as it is said, without a block."""
    kept, witness, scores = [], [], []
    for row, vector in enumerate(vectors.astype(float)):
        cosines = [
            round(float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other)), DIGITS)
            for other in vectors[kept].astype(float)
        ]
        near = next((place for place, cosine in enumerate(cosines) if cosine >= threshold), None)
        witness.append(-1 if near is None else kept[near])
        scores.append(0.0 if near is None else cosines[near])
        if near is None:
            kept.append(row)
    return witness, scores


def test_a_row_leaves_for_the_first_that_stays_and_not_for_one_that_left():
    # 20 degrees apart: each is near its neighbours alone, so the third may stay once the second has left
    witness, scores = find_similar_meaning(on_a_circle(0, 20, 40, 60, 30), threshold=0.9)
    assert witness.tolist() == [-1, 0, -1, 2, 2]
    assert scores == pytest.approx([0, 0.9397, 0, 0.9397, 0.9848], abs=1e-3)


@pytest.mark.parametrize("threshold", [0.2, 0.6, 0.9, 1.0])
@pytest.mark.parametrize(("block", "chunk"), [(1, 1), (7, 5), (64, 1000)])
def test_blocks_give_what_one_by_one_gives(threshold, block, chunk):
    vectors = np.concatenate([clouds(150), clouds(20)])
    witness, scores = find_similar_meaning(vectors, threshold, block, chunk)
    assert (witness.tolist(), scores.tolist()) == one_by_one(vectors, threshold)


def test_the_first_rows_keep_their_fate_when_rows_are_appended():
    vectors = clouds(400)
    witness, scores = find_similar_meaning(vectors, 0.7)
    assert 0 < (witness >= 0).sum() < 400
    for size in (0, 1, 100, 399):
        first = find_similar_meaning(vectors[:size], 0.7)
        assert (first[0].tolist(), first[1].tolist()) == (witness[:size].tolist(), scores[:size].tolist())


def test_a_text_without_a_meaning_is_like_no_other():
    assert find_similar_meaning(np.zeros((3, 4), np.float16), 0.1)[0].tolist() == [-1, -1, -1]


def test_what_leaves_names_its_witness_among_all_rows():
    source_ids = pl.Series([f"u{row}" for row in range(110)])
    meaning = drop_similar_meaning(np.array([2, 5, 9]), on_a_circle(0, 90, 1), 0.99, PASSED, source_ids)
    assert meaning.left.tolist() == [2, 5]
    assert meaning.drops.to_dicts() == [
        {"row": 109, "reason": Reason.SIMILAR_MEANING.value, "detail": "to u102", "score": 0.9998, "witness": 2}
    ]
