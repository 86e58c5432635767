import pytest

from pipeline.curation.disguises import find_spelled_out, list_mask_patterns, list_readings


def test_a_text_without_anything_odd_has_one_reading():
    assert list(list_readings("a dog in the rain")) == [("a", "dog", "in", "the", "rain")]


@pytest.mark.parametrize(
    "text, word",
    [
        ("n4ked", "naked"),
        ("na-ked", "naked"),
        ("nаkеd", "naked"),
        ("naaaked", "naked"),
        ("lo1i", "loli"),
        ("👶", "baby"),
    ],
    ids=["leet", "hyphen", "cyrillic", "stretched", "one as l", "emoji"],
)
def test_a_reading_sees_through_a_disguise(text, word):
    assert any(word in reading for reading in list_readings(f"a {text} x"))


def test_single_letters_are_read_as_one_word():
    assert "naked" in list(find_spelled_out("n a k e d"))
    assert "naked" in list(find_spelled_out("n.4.k.e.d"))
    assert list(find_spelled_out("a naked dog")) == []


def test_a_mask_stands_for_letters():
    (pattern,) = list_mask_patterns("a n*k#d dog")
    assert pattern.fullmatch("naked") and not pattern.fullmatch("nacked")
    assert list_mask_patterns("a dog") == []
