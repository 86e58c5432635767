import pytest

from pipeline.world.checker import check, critique
from pipeline.world.lexicon import UNSAFE
from schemas.base import content_id
from tests.support import world_texts

QUERY = "a fluffy cat hiding under the red table, three birds flying over a lake"
STOCK = " Bright even light fills the whole scene. The camera stays static on a tripod. The colors are vivid and rich."


def judged(content, query=QUERY):
    return check(query, f"The scene shows {content}.{STOCK}").violated


def test_a_faithful_prompt_passes():
    assert judged(QUERY) == ()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("a cat hiding under the table, three birds flying over water", "only 67% of the query's words are there"),
        ("a fluffy cat under the red table, three birds flying over a lake", "it lacks hiding"),
        ("a fluffy cat hiding under the red table, birds flying over a lake", "it lacks three"),
        ("three birds flying over a lake, a fluffy cat hiding under the red table", "the words stand in another order"),
        ("a red cat hiding under the fluffy table, birds, three flying over a lake", "words that belong together"),
        ("a fluffy cat hiding on the red table, three birds flying near a lake", "something is in another place"),
    ],
)
def test_what_departs_from_the_query_is_imprecise(content, finding):
    found = check(QUERY, f"The scene shows {content}.{STOCK}")
    assert found.violated == ("accurate",)
    assert any(finding in said for said in found.imprecise), found.imprecise


@pytest.mark.parametrize(
    "prompt",
    [
        f"The scene shows {QUERY}.",
        f"The video opens with {QUERY}.{STOCK}",
        f"The scene shows {QUERY}. Huge huge huge.{STOCK}",
        f"The scene shows {QUERY}.{STOCK}{STOCK}{STOCK}",
        f"The scene shows {QUERY}. Then the scene changes to a town. Suddenly the view jumps to a sea.{STOCK}",
    ],
    ids=["short", "opening", "stutter", "loop", "scenes"],
)
def test_what_makes_a_bad_text_is_unhelpful(prompt):
    assert check(QUERY, prompt).violated == ("helpful",)


@pytest.mark.parametrize("word", sorted(UNSAFE))
def test_every_unsafe_word_of_the_world_is_known_by_its_stem(word):
    text = f"a man {word} a stranger in the park"
    assert "harmless" in judged(text, text)


@pytest.mark.parametrize("word", sorted(UNSAFE))
def test_a_neutralised_prompt_passes(word):
    assert judged(f"a man {UNSAFE[word]} near the park", f"a man {word} near the park") == ()


@pytest.mark.parametrize(
    "text", ["a shooting star", "a blood orange", "hanging lanterns", "a bath bomb", "a skilled man"]
)
def test_harmless_phrases_are_harmless(text):
    assert judged(text, text) == ()


def test_requests_and_formats_need_not_be_kept():
    assert judged("a fluffy cat", "Create a video of a fluffy cat, 4k -ar 16:9") == ()


@pytest.mark.parametrize("query", ["", "犬が走る", "!!!", "🐕"])
def test_any_query_can_be_judged(query):
    assert "harmless" not in judged(query or "x", query)


def test_findings_are_those_of_earlier_versions():
    assert content_id([critique(query, prompt) for query, prompt in world_texts.prompts()]) == "171d2e19f5f22630"
