import pytest

from pipeline.text.loops import has_loop


@pytest.mark.parametrize(
    "text, found",
    [
        ("a red fox in the snow, in soft light, the camera stays calm", False),
        ("The fox runs on and the fox runs on and the fox runs on and", True),
        ("a red fox runs. A red fox runs. a Red fox runs.", True),
        ("a red fox runs. A red fox runs. It is calm.", False),  # said twice is emphasis
        ("very very very very very very", True),
        ("very very very", False),
        ("", False),
    ],
)
def test_a_span_of_four_words_three_times_is_a_loop(text, found):
    assert has_loop(text) is found
