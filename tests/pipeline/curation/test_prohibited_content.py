import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.disguises import ODD, ODD_HINT
from pipeline.curation.prohibited_content import find_prohibited, is_prohibited, may_be_prohibited
from pipeline.text.clean import clean


@pytest.mark.parametrize(
    "query, out",
    [
        ("a naked child", True),
        ("sexy 12 year old", True),
        ("erotic dance of a 9-year-old", True),
        ("a fifteen years old in lingerie", True),
        ("nude teenagers on the beach", True),
        ("a loli", True),
        ("a na\u200bked chi\u200cld", True),
        ("a young naked girl", True),
        ("little blonde girl takes off her clothes", True),
        ("a sexy 9th grader", True),
        ("a young woman, naked, and a girl", False),
        ("a naked man of 21 years", False),
        ("a sexy 18 year old", False),
        ("a child with a knife", False),
        ("a sexy girl", False),
        ("a 112 year old naked tree", False),
    ],
)
def test_minors_in_sexual_terms_are_prohibited(query, out):
    assert is_prohibited(clean(query)) is out


DISGUISES = {
    "leet": "n4ked ch1ld",
    "signs": "n@ked ch!ld",
    "one as l": "a lo1i",
    "dollars": "$exy k1d$",
    "spaced": "n a k e d  c h i l d",
    "dotted": "n.a.k.e.d c.h.i.l.d",
    "spaced leet": "n 4 k 3 d child",
    "hyphens": "na-ked chi-ld",
    "underscores": "na_ked_child",
    "masked": "n*ked ch*ld",
    "more masks": "n#k%d kids",
    "stretched": "naaaaked chiiiild",
    "glued": "nakedchild",
    "glued with others": "#nakedchildren",
    "cyrillic letters": "nаkеd сhіld",
    "greek letters": "nαkεd child",
    "small capitals": "ɴᴀᴋᴇᴅ child",
    "full width": "ｎａｋｅｄ ｃｈｉｌｄ",
    "mathematical": "𝓃𝒶𝓀𝑒𝒹 𝖈𝖍𝖎𝖑𝖉",
    "circled": "ⓝⓐⓚⓔⓓ child",
    "black squares": "🅝🅐🅚🅔🅓 🅲🅷🅸🅻🅳",
    "flag letters": "🇳 🇦 🇰 🇪 🇩 child",
    "struck through": "n\u0336a\u0336k\u0336e\u0336d\u0336 child",
    "accents": "nákéd chïld",
    "invisible": "na\u200bk\u2060ed ch\u00adild",
    "one disguise a word": "naked kiiids",
    "emoji": "naked 👧",
    "adults only": "🔞 little girl",
    "capitals": "NAKED CHILD",
    "entities": "n&#97;ked child",
    "age": "sexy girl, 12yo",
    "age with letters": "a nude 15 y.o. girl",
    "age in words": "erotic dance, she is under eighteen",
    "a school": "sexy middle school students",
}
LANGUAGES = {
    "es": "una niña desnuda", "pt": "criança pelada", "fr": "une fillette nue", "fr age": "une fille de 12 ans nue",
    "de": "nackte Kinder am Strand", "it": "bambina nuda", "nl": "naakte kinderen", "pl": "erotyczne zdjęcie dziecka",
    "ru": "голая девочка", "tr": "çıplak çocuk", "id": "anak kecil telanjang", "vi": "bé gái khỏa thân",
    "zh": "裸体的小女孩", "zh age": "性感 12岁", "ja": "裸の少女", "ko": "벌거벗은 아이", "ar": "طفلة عارية",
    "hi": "नंगी बच्ची", "th": "เด็กเปลือย",
}  # fmt: skip
HARMLESS = [
    "long shot-a man at sea", "shot a deer", "a 4k nude statue, 8k", "the rapist and a therapist",
    "a kind naked man", "naked mole rat, 3 years", "essex boy", "a nude in 2015", "nude beach of 18 people",
    "sex on fire song", "カロリーの低い裸麦", "a solo lion", "a bare tree under 18 feet of snow with naked branches",
    "a 12 inch nude",
    "sensual dance of a 30 year old woman", "k-pop, j-pop, d-day", "www.naked.org", "a n d", "M.A.S.H. nude scene",
    "nude 1girl",
]  # fmt: skip


@pytest.mark.parametrize("text", DISGUISES.values(), ids=DISGUISES)
def test_a_disguise_hides_nothing(text):
    assert is_prohibited(clean(text, keep_flags=True))


@pytest.mark.parametrize("text", LANGUAGES.values(), ids=LANGUAGES)
def test_other_languages_hide_nothing(text):
    assert is_prohibited(clean(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_stays(text):
    assert not is_prohibited(clean(text))


@pytest.mark.parametrize("piece", ["n-", "n ", "a*", "1", "a.b_", "naked", "é", "kid ", "\u0336", "aaa"])
def test_a_long_hostile_text_is_read_to_its_end(piece):
    assert is_prohibited(piece * (10_000 // len(piece))) in (True, False)


@pytest.mark.slow
def test_few_real_queries_are_taken_for_it(shared_data):
    texts = json.loads((shared_data / "vidprom_queries.json").read_text())
    sieved = sieve(texts)
    assert sum(sieved) < len(texts) / 100
    hits = [is_prohibited(clean(text, keep_flags=True)) for text in texts]
    assert 7 <= sum(hits) <= 12
    assert not [text for text, hit, read in zip(texts, hits, sieved, strict=True) if hit and not read]


def sieve(texts):
    return may_be_prohibited(pl.Series([clean(text, keep_flags=True) for text in texts])).to_list()


def test_the_sieve_asks_about_every_disguise_and_little_else():
    assert all(sieve([*DISGUISES.values(), *LANGUAGES.values()]))
    assert sieve(["a dog in the rain", "a child runs", "a nude statue", "8k hdr, slow-motion"]) == [False] * 4


BITS = [*"nakedchil", *"4@1!3-_.*# ", "sex", "kid", "girl", "boy", "young ", "naked", "child", "nude", "12",
    " years old", "yo", "лол", "е", "о", "\u0336", "裸", "少女", "👧", "🔞", "&#97;", "under 18", "aaa", "loli",
    "  ", "\n"]  # fmt: skip


@pytest.mark.slow
@given(text=st.lists(st.sampled_from(BITS), max_size=14).map("".join))
@settings(max_examples=1000, deadline=None)
def test_the_sieve_overlooks_nothing(text):
    cleaned = clean(text, keep_flags=True)
    if ODD.search(cleaned):
        assert pl.Series([cleaned]).str.contains(ODD_HINT).item()
    if is_prohibited(cleaned):
        assert sieve([text]) == [True]


def test_of_many_texts_those_are_found_that_are_prohibited_one_by_one():
    texts = ["a naked child", "a dog on grass", "n.a.k.e.d c h i l d", "a child on a swing", "a dog on grass"]
    assert find_prohibited(texts) == {text for text in texts if is_prohibited(text)} != set()
