import pytest

from pipeline.world.reading import extract_wish, list_content_words, list_unsafe_words, neutralise
from schemas.base import content_id
from tests.support import world_texts


@pytest.mark.parametrize(
    ("query", "wished"),
    [
        ("a red dog -ar 16:9 -motion 2", "a red dog"),
        ("Create a video of a dog&#39;s dream", "a dog's dream"),
        ("A dog running,4k , cinematic!!", "a dog running, cinematic"),
        ("Mira Tal walks", "Mira Tal walks"),
        ("A DOG ON A BEACH", "a dog on a beach"),
        ("((a dog)) [on] a 'big' beach: at night", "a dog on a big beach, at night"),
        ("一只猫在花园里跑步", "一只猫在花园里跑步"),
    ],
)
def test_a_wish_is_the_query_without_what_is_said_to_the_machine(query, wished):
    assert extract_wish(query) == wished


def test_content_words_leave_out_the_small_ones():
    assert list_content_words("A dog's bone is on the well-worn table") == ["dog", "bone", "well-worn", "table"]


def test_unsafe_words_are_found_but_for_harmless_phrases():
    assert list_unsafe_words("a naked man shooting under a shooting star") == ["naked", "shooting"]
    assert neutralise("a Naked man under a shooting star") == "a fully clothed man under a shooting star"


def test_what_is_read_in_a_query_is_that_of_earlier_versions():
    read = [(extract_wish(text), list_content_words(text), list_unsafe_words(text), neutralise(text))
            for text in world_texts.QUERIES]  # fmt: skip
    assert content_id(read) == "c8769a972dfe130d"
