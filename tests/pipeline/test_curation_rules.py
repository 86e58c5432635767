from pathlib import Path

import pytest

from pipeline.clean import tokens, words
from pipeline.curation import unsafe_terms
from pipeline.curation.read import Raw, framed
from pipeline.curation.rules import admitted
from pipeline.curation.unsafe_terms import candidate, kinds
from schemas.reasons import Reason


@pytest.fixture
def params(laptop):
    return laptop.queries.model_copy(
        update={
            "min_words": 3, "max_words": 8, "max_characters": 60, "max_symbol_share": 0.25,
            "blocked_keywords": ("lorem ipsum", "ass", "->"),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    "query, reason, score",
    [
        ("a dog in the grass", None, None),
        ("犬が走る", None, None),
        ("", Reason.EMPTY, None),
        ("a dog", Reason.TOO_SHORT, 2),
        ("🙂 🙂", Reason.CHARACTERS, 2 / 3),
        ("a b c d e f g h i", Reason.TOO_LONG, 9),
        ("a " + "d" * 58 + " c", Reason.TOO_LONG, 62),
        ("a dog ((((((( ))))))", Reason.CHARACTERS, 13 / 20),
        ("a dog like https://x.org/1.png", Reason.URL, None),
        ("a dog like www.x.org", Reason.URL, None),
        ("write to bob@x.org about dogs", Reason.PII, None),
        ("a LOREM, ipsum dog", Reason.KEYWORD, None),
        ("a big ass dog", Reason.KEYWORD, None),
        ("a dog -> a cat", Reason.KEYWORD, None),
    ],
)
def test_each_rule_has_its_reason(params, query, reason, score):
    found = admitted(framed([Raw("1", query)]), params).row(0, named=True)
    assert found["reason"] == reason
    assert found["score"] == (score if score is None else pytest.approx(score))


def test_a_hostile_address_is_checked_in_a_moment(params):
    import time

    long = params.model_copy(update={"max_characters": 1000})
    started = time.process_time()
    for query in ("a" * 15_000, "a@" * 7500, "a." * 7500 + "@"):
        admitted(framed([Raw("1", query)]), long)
    assert time.process_time() - started < 2


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
    assert candidate(tokens(query)) == term


def test_the_list_of_terms_is_spelled_as_words_are():
    lines = Path(unsafe_terms.__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    terms = [line.split(": ") for line in lines if not line.startswith("#")]
    assert len({tuple(item) for item in terms}) == len(terms)
    for kind, term in terms:
        spelled = words(term)
        assert kind.isidentifier()
        if "*" in term:
            assert len(spelled) == 1 and term.strip("*") == spelled[0] and len(spelled[0]) >= 2
        elif all(len(word) > 1 for word in spelled):
            assert term == " ".join(spelled)
        assert term == term.lower()


def test_each_kind_is_told_with_its_first_term():
    assert kinds(tokens("a bloody naked man with blood")) == {"violence": "bloody", "sexual": "naked"}
