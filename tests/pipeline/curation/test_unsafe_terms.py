from pathlib import Path

import polars as pl
import pytest

from pipeline.curation import unsafe_terms
from pipeline.curation.unsafe_terms import find_terms, is_candidate, may_be_candidate
from pipeline.text.clean import tokens, words


@pytest.mark.parametrize(
    "query, term",
    [
        ("a naked man in the rain", "naked"),
        ("a man covered in BLOOD", "blood"),
        ("a man without clothes", "without clothes"),
        ("a shooting star", "shooting"),
        ("a child in the rain", None),
        ("a nakedly honest man", None),
    ],
)
def test_a_term_makes_a_candidate(query, term):
    kinds = find_terms(tokens(query))
    assert next((first for kind, first in kinds.items() if kind != "minor"), None) == term
    assert may_be_candidate(pl.Series([" ".join(tokens(query))])).item() is (term is not None)
    assert is_candidate(query) is (term is not None)


def test_the_list_of_terms_is_spelled_as_words_are():
    lines = Path(unsafe_terms.__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    terms = [line.split(": ") for line in lines if not line.startswith("#")]
    assert len({tuple(item) for item in terms}) == len(terms)
    for kind, term in terms:
        spelled = words(term)
        assert kind.isidentifier()
        if "*" in term:
            assert term.strip("*") == "".join(spelled) and len(term.strip("*")) >= 2
            assert len(spelled) == 1 or words("".join(spelled)) == spelled
        elif all(len(word) > 1 for word in spelled):
            assert term == " ".join(spelled)
        assert term == term.lower()


def test_each_kind_is_told_with_its_first_term():
    assert find_terms(tokens("a bloody naked man with blood")) == {"violence": "bloody", "sexual": "naked"}
