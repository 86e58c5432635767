import pytest

from pipeline.curation.rules import apply_rules, check_readable
from pipeline.curation.sources import Raw, to_frame
from schemas.reasons import Reason


def judge(raws, params):
    return apply_rules(check_readable(raws, params), params)


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
        # just at the limit of each rule
        ("a b c", None, None),
        ("a b c d e f g h", None, None),
        ("a " + "d" * 56 + " c", None, None),
        ("a " + "d" * 57 + " c", Reason.TOO_LONG, 61),
        ("a d dogs (((", None, None),
    ],
)
def test_each_rule_has_its_reason(params, query, reason, score):
    outcome = judge(to_frame([Raw("1", query)]), params).row(0, named=True)
    assert outcome["reason"] == reason
    assert outcome["score"] == (score if score is None else pytest.approx(score))


@pytest.mark.parametrize(
    "query, changes, reason",
    [
        ("a dog like https://x.org/1.png", {"drop_urls": False}, None),
        ("write to bob@x.org about dogs", {"pii": ()}, None),
        ("write to bob@x.org about dogs", {"pii": ("phone", "handle")}, None),
        ("a dog by @some_one", {"pii": ("handle",)}, Reason.PII),
        ("call +44 20 7946 0958 for dogs", {"pii": ("phone",)}, Reason.PII),
        ("una mujer camina por la playa al atardecer", {}, None),
        ("una mujer camina por la playa al atardecer", {"languages": ("en",)}, Reason.LANGUAGE),
        ("una mujer camina por la playa al atardecer", {"languages": ("en", "es")}, None),
        ("a dog in the grass", {"languages": ("en",)}, None),
    ],
)
def test_a_rule_can_be_switched(params, query, changes, reason):
    outcome = judge(to_frame([Raw("1", query)]), params.model_copy(update=changes)).row(0, named=True)
    assert outcome["reason"] == reason


@pytest.mark.parametrize(
    "text",
    [
        "https://x.org/naked-child naked child",
        "see https://x.org or mail bob@x.org",
        "bob@x.org",
        "mail bob@x.org " + "and more " * 30,
        "lorem ipsum, call +44 20 7946 0958",
        "a dog -neg call +44 20 7946 0958",
    ],
)
def test_what_may_not_be_kept_leaves_for_that_and_for_nothing_else(params, text):
    assert judge(to_frame([Raw("1", text)]), params)["reason"].item() in (Reason.PROHIBITED, Reason.PII)


def test_languages_are_asked_about_what_the_other_rules_let_pass(params):
    rows = to_frame(
        [Raw("1", "una mujer"), Raw("2", "una mujer camina por la playa al atardecer"), Raw("3", "a dog on the beach")]
    )
    outcome = judge(rows, params.model_copy(update={"languages": ("en",)}))
    assert outcome["reason"].to_list() == [Reason.TOO_SHORT, Reason.LANGUAGE, None]
    assert outcome["detail"].to_list() == ["words", "es", ""]


def test_a_hostile_address_is_checked_in_a_moment(params):
    import time

    long = params.model_copy(update={"max_characters": 1000})
    started = time.process_time()
    for query in ("a" * 15_000, "a@" * 7500, "a." * 7500 + "@"):
        judge(to_frame([Raw("1", query)]), long)
    assert time.process_time() - started < 2
