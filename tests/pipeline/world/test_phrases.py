import pytest

from pipeline.world.phrases import PHRASES, SCENE_CHANGES, is_scene_change, is_stock, read_content, read_effects


@pytest.mark.parametrize(
    ("aspect", "phrase"), [(aspect, phrase) for aspect, phrases in PHRASES.items() for phrase in phrases]
)
def test_a_stock_sentence_asks_for_its_own_effect_alone(aspect, phrase):
    assert read_effects(phrase.sentence) == {aspect: (phrase.effect,)}
    assert is_stock(phrase.sentence)


def test_a_wish_is_found_in_other_words():
    assert read_effects("A dog, static camera, highly detailed") == {"camera": ("static",), "detail": ("fine",)}


def test_content_is_what_the_prompt_shows():
    prompt = "The scene shows a dog on a beach. The camera stays static on a tripod. The colors are vivid and rich."
    assert read_content(prompt) == "a dog on a beach"
    assert read_content("A camera on a table.") == "A camera on a table"


def test_scene_changes_are_found():
    assert all(map(is_scene_change, SCENE_CHANGES))
    assert not is_scene_change("The scene shows a dog.")
