"""The words of the offline world are those that the figures of its pages were measured with."""

import pytest

from pipeline.world import lexicon
from schemas.base import content_id

HASHES = {
    "ACCESSORIES": "b83242e2e4543df2",
    "ACTIONS": "4f72eefb47341248",
    "COLOURS": "7370412beffb350d",
    "DRAMATIC": "970cf4d1f4543e58",
    "DRAWABLE": "6a3d4a17da4a0dfb",
    "HARMLESS": "a44774ff1b29fdc7",
    "MODIFIERS": "5bfaddc54b91dcd4",
    "PLACES": "946fc6d78e5b118a",
    "UNSAFE": "64faff723982c5cb",
}


@pytest.mark.parametrize("name", HASHES)
def test_a_table_is_as_it_was_measured(name):
    """Change the hash with the table, and measure the world's pages again."""
    table = getattr(lexicon, name)
    assert content_id(sorted(table.items()) if isinstance(table, dict) else sorted(table)) == HASHES[name]


def test_sizes_hues_and_lightness_are_shares_and_degrees():
    for shape, hue, size in lexicon.DRAWABLE.values():
        assert shape and (hue is None or 0 <= hue < 360) and 0 < size < 1


@pytest.mark.parametrize(
    ("word", "drawn"),
    [
        ("fox", ("animal", 18, 0.42)),
        ("bee", ("bird", 50, 0.15)),
        ("coin", ("round", 47, 0.16)),
        ("car", ("vehicle", 0, 0.5)),
    ],
)
def test_a_word_is_drawn_in_its_shape_hue_and_size(word, drawn):
    assert lexicon.DRAWABLE[word] == drawn
