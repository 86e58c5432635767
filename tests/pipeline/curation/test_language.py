import json

import pytest

from pipeline.curation.language import detect_other_languages
from pipeline.runtime.io import DataError
from pipeline.text.clean import clean

ENGLISH = [
    "a dog runs on green grass",
    "park in a driveway",
    "a bustling italian piazza on a sunny day",
    "parched thirsty vikings crawling in the desert",
    "Tokyo cyberpunk street at night",
    "angry baby morphs into pig",
    "totoro riding cabriolet",
    "venom killing Biden",
    "cat",
    "4k hdr octane render",
    "",
    "🙂🙂",
]
OTHER = {
    "es": "una mujer camina por la playa al atardecer",
    "fr": "une femme marche lentement sur la plage",
    "de": "eine alte Frau geht am Strand spazieren",
    "ru": "женщина идет по пляжу на закате",
    "pt": "uma mulher caminha na praia ao entardecer",
    "ja": "海辺を歩く女性",
    "ko": "해변을 걷는 여자",
    "hi": "एक औरत समुद्र तट पर चलती है",
}


def test_english_and_undecided_texts_are_kept():
    assert list(detect_other_languages(ENGLISH, ["en"])) == [None] * len(ENGLISH)


@pytest.mark.parametrize("code", OTHER)
def test_another_language_is_named_and_kept_when_asked_for(code):
    assert list(detect_other_languages([OTHER[code]], ["en"])) == [code]
    assert list(detect_other_languages([OTHER[code]], ["en", code])) == [None]


@pytest.mark.parametrize("code", ["english", "xx", "EN"])
def test_an_unknown_language_is_told(code):
    with pytest.raises(DataError, match=f"queries.languages: CLD2 knows no language '{code}'"):
        list(detect_other_languages(["a dog"], ["en", code]))


@pytest.mark.parametrize("odd", ["\x00", "\x07", "\ud800", "\ufffe", "\ue000", "\U0010ffff"])
def test_a_character_that_cld2_refuses_hides_no_language(odd):
    texts = [f"a dog{odd} runs", f"{OTHER['es']}{odd}", odd]
    assert list(detect_other_languages(texts, ["en"])) == [None, "es", None]


def test_real_english_queries_stay(shared_data):
    texts = [clean(text) for text in json.loads((shared_data / "vidprom_queries.json").read_text())]
    codes = [code for code in detect_other_languages(texts, ["en"]) if code]
    assert 60 < len(codes) < 100
    assert {"es", "fr", "ru", "pt"} <= set(codes)
