import json
import re

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.curation.pii import find_pii, may_hold_pii
from pipeline.text.clean import clean

ALL = ("email", "phone", "handle")
EXAMPLES = {
    "email": [
        "write to bob@x.org about dogs",
        "BOB.smith+cats@mail.example.co.uk",
        "bob＠x.org",
        "bob [at] x.org",
        "bob@\u200dx.org",
        "bob(at)mail(dot)com",
        "mail bob at gmail dot com",
        "почта иван@почта.рф",
    ],
    "phone": [
        "a dog, call +1 202 555 0123",
        "+442079460958",
        "0044 20 7946 0958",
        "+49 (0)151 1234-5678",
        "+91 98765 43210",
        "(212) 555-0123",
        "212-555-0123",
        "212\u2011555\u20110123",
        "+44 20–7946–0958",
        "1-800-555-0123",
        "020 7946 0958",
        "0151 1234567",
        "06 12 34 56 78",
        "WhatsApp me: 555 0123 4567",
        "tel. 5550123",
        "＋４４ ２０ ７９４６ ０９５８",
        "+٩٧١ ٥٠ ١٢٣ ٤٥٦٧",
    ],
    "handle": ["art by @some_artist", "<@123456789012> a dog", "<@!123456789012>", "hi @Bob", "＠someone in the rain"],
}
NOBODYS = [
    "a video of 1920x1080 at 60 fps",
    "1920 x 1080, 3840 2160",
    "from 1990-2000 and 2001-2023",
    "in 1914, 1918, 1939 and 1945",
    "2023-10-15 12:27:44",
    "15.10.2023 um 12 Uhr",
    "a dog -seed 1234567890123456",
    "a dog -seed 2025550123 -gs 12 -ar 16:9",
    "seed:4294967295, cfg 7.5, steps 30",
    "zoom 1.0 1.1 1.2 1.3 1.4 1.5 1.6",
    "1 2 3 4 5 6 7 8 9 10 11 12",
    "100,000,000,000 stars",
    "3.14159265358979",
    "10 000 000 000 ants",
    "coordinates 40.712776, -74.005974",
    "RGB 255 255 255 and #ff00ff",
    "192.168.100.200",
    "ISBN 978-3-16-148410-0",
    "6ft 2in man, 100 years, 50mm f/1.8",
    "4k@60fps",
    "4k @60fps, @ 24 fps, @60",
    "a @ b",
    "an @ sign on a wall",
    "call of duty 2042 in 4k",
    "the phone shows 12:45",
    "the office of a dot com company",
    "a cat (at night) on a roof",
    "M31 at 2,537,000 light years",
]


@pytest.mark.parametrize("rule, text", [(rule, text) for rule, texts in EXAMPLES.items() for text in texts])
def test_people_s_data_is_found_by_its_rule_alone(rule, text):
    assert find_pii(text, ALL)
    assert find_pii(text, [rule])
    assert find_pii(text, [other for other in ALL if other != rule]) is None


@pytest.mark.parametrize("text", NOBODYS)
def test_sizes_years_seeds_and_signs_are_nobody_s_data(text):
    assert find_pii(text, ALL) is None


def test_without_rules_nothing_is_found():
    assert not [text for texts in EXAMPLES.values() for text in texts if find_pii(text, ())]


PIECE = st.sampled_from(
    [
        *"0123456789٣５ @+-–\u200d.() x",
        "bob",
        "@bob",
        "bob@x.org",
        " at ",
        " dot ",
        "com",
        "(at)",
        "call ",
        "+44 20 7946",
        "00",
    ]
)


@pytest.mark.slow
@given(text=st.lists(PIECE, max_size=20).map("".join))
@settings(max_examples=1000, deadline=None)
def test_the_hint_overlooks_nothing(text):
    if find_pii(text, ALL):
        assert may_hold_pii(pl.Series([text])).item()


def test_the_hint_finds_every_example_and_few_others():
    assert may_hold_pii(pl.Series([text for texts in EXAMPLES.values() for text in texts])).all()
    assert may_hold_pii(pl.Series(["a dog in 4k", "1920x1080", "-ar 16:9 -gs 12", None])).to_list() == [False] * 4


@pytest.mark.parametrize(
    "piece", ["a", "a@", "a.", "1", "1 ", "+1", "00 1", "a at ", "(", "@a.", "call 1 ", "0123/456"]
)
def test_a_long_hostile_text_is_answered(piece):
    # quadratic or worse would take minutes here
    assert find_pii(piece * (200_000 // len(piece)), ALL) in (None, "a phone number", "a handle", "an e-mail address")


def test_few_real_queries_hold_people_s_data(shared_data):
    texts = [clean(text, keep_flags=True) for text in json.loads((shared_data / "vidprom_queries.json").read_text())]
    holding = [text for text in texts if find_pii(text, ALL)]
    assert 0 < len(holding) < len(texts) / 1000
    assert may_hold_pii(pl.Series(texts)).sum() < len(texts) / 50
    assert all(re.search("@", text) for text in holding)
