import itertools
import re

import pytest

from pipeline.curation.prohibited_content import is_prohibited
from pipeline.text.clean import clean
from pipeline.world.corpus import make_queries
from pipeline.world.grammar import write
from pipeline.world.phrases import LEADS, OPENINGS, is_from_table, split_sentences
from pipeline.world.reading import extract_wish, is_drawn, list_content_words, list_unsafe_words
from schemas.base import content_id


@pytest.fixture(scope="module")
def corpus():
    return list(make_queries(2600, seed=0))


@pytest.fixture(scope="module")
def usable(corpus):
    """Distinct cleaned queries of 3 to 60 words."""
    texts = dict.fromkeys(clean(row["query"]) for row in corpus)
    return [text for text in texts if 3 <= len(text.split()) <= 60]


def share(hits, of):
    of = list(of)
    return sum(map(bool, map(hits, of))) / len(of)


def test_a_seed_gives_the_same_queries(corpus):
    assert list(make_queries(50, seed=0)) == corpus[:50]
    assert list(make_queries(50, seed=1)) != corpus[:50]


def test_rows_have_ids_scores_and_times_as_vidprom_writes_them(corpus):
    assert len({row["source_id"] for row in corpus}) == len(corpus)
    assert all(0 <= row["unsafe_score"] <= 1 for row in corpus)
    assert re.fullmatch(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d 2023", corpus[0]["time"])


def test_queries_are_short_as_users_type(usable):
    lengths = sorted(len(text.split()) for text in usable)
    assert lengths[len(lengths) // 2] in range(7, 12)
    assert share(lambda n: n <= 16, lengths) > 0.85


def test_most_general_queries_name_something_that_can_be_drawn(usable):
    general = [text for text in usable if not list_unsafe_words(text)]
    assert share(lambda text: any(map(is_drawn, list_content_words(text))), general) > 0.8


def test_a_seventh_is_unsafe_and_the_scores_are_noisy(corpus):
    unsafe = [row for row in corpus if list_unsafe_words(extract_wish(row["query"]))]
    safe = [row for row in corpus if not list_unsafe_words(extract_wish(row["query"]))]
    assert 0.11 < len(unsafe) / len(corpus) < 0.18
    assert 0.02 < share(lambda row: row["unsafe_score"] < 0.5, unsafe) < 0.15
    assert 0.01 < share(lambda row: row["unsafe_score"] > 0.5, safe) < 0.08


@pytest.mark.parametrize("seed", range(4))
def test_nothing_unsafe_speaks_of_minors(seed):
    texts = [row["query"] for row in make_queries(2600, seed) if list_unsafe_words(row["query"])]
    assert not [text for text in texts if is_prohibited(text)]
    assert not [text for text in texts if re.search(r"\b(?:boys?|girls?|child|baby|teenage|young)\b", text, re.I)]


def test_users_repeat_themselves(corpus):
    texts = [clean(row["query"]).lower() for row in corpus]
    assert 0.03 < 1 - len(set(texts)) / len(texts) < 0.12
    near = 0
    for earlier, text in itertools.pairwise(sorted(set(texts))):
        near += text.startswith(earlier[: max(12, len(earlier) * 4 // 5)])
    assert near / len(texts) > 0.04


@pytest.mark.parametrize(
    ("kind", "pattern", "least"),
    [
        ("flags", r" -{1,2}(?:ar|motion|gs|seed|fps|camera|neg) ", 0.1),
        ("entities", r"&#39;", 0.01),
        ("scripts", r"[\u0370-\u30ff\u4e00-\u9fff\uac00-\ud7af]", 0.02),
        ("links", r"https?://", 0.004),
        ("keywords", r"test test|lorem ipsum", 0.004),
        ("capitals", r"^[A-Z]", 0.2),
    ],
)
def test_users_are_messy(corpus, kind, pattern, least):
    assert share(lambda row: re.search(pattern, row["query"]), corpus) > least


def test_the_long_tail_keeps_words_for_the_test_split(usable):
    unseen = []
    for start in range(5):
        mixed = usable[start::5] + [text for at in range(5) if at != start for text in usable[at::5]]
        test, sft = mixed[:150], mixed[len(usable) // 5 :][:1000]
        known = {word for text in sft for word in list_content_words(text)}
        words = {word for text in test for word in list_content_words(text)}
        unseen.append(len(words - known) / len(words))
    assert sum(unseen) / len(unseen) >= 0.15


def test_users_and_teacher_share_no_sentence_pattern(corpus, laptop):
    for row in corpus:
        assert not row["query"].startswith((*LEADS, *OPENINGS))
        assert not any(map(is_from_table, split_sentences(row["query"])))
    texts = {clean(row["query"]) for row in corpus[:300]}
    assert not texts & {write(text, 0, laptop.world) for text in texts}


def test_the_corpus_is_that_of_earlier_versions():
    assert content_id(list(make_queries(300, seed=5))) == "f81425493185471e"
