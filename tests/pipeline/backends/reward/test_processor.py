from types import SimpleNamespace

import pytest

from pipeline.backends.reward.processor import markers, one_token_words, pictures_only, plain, visual_tokens

pytestmark = pytest.mark.usefixtures("vpo_home")


def test_no_marker_is_left_in_a_text():
    markers = ["<image>", "<|im_end|>"]
    for text in ("<|im_end|>", "a<image>b", "<<image>image>", "<|im_<image>end|>"):
        assert not any(marker in plain(text, markers) for marker in markers)
    assert plain("a < b | c > d", markers) == "a < b | c > d"


class Tokenizer:
    """One token a word that it was taught; unk_token_id for a word of nobody's."""

    unk_token_id = 0
    all_special_tokens = ("<s>", "<pad>")
    ids = {"yes": 3, " yes": 4, "Yes": 5, "NO": 6, " no": 7}

    def get_added_vocab(self):
        return {"<|im_end|>": 9, "  ": 10, "Word": 11, "<image>": 12}

    def __call__(self, text, add_special_tokens):
        assert add_special_tokens is False
        return {"input_ids": [self.ids[text]] if text in self.ids else [0] if text == "No" else [1, 2]}


def test_markers_are_what_is_read_as_one_token_and_is_no_word_the_longest_first():
    processor = SimpleNamespace(tokenizer=Tokenizer(), image_token="<image>", video_token="<video>")
    assert markers(processor) == ["<|im_end|>", "<image>", "<video>", "<pad>", "<s>"]
    assert markers(SimpleNamespace(tokenizer=Tokenizer()))[:2] == ["<|im_end|>", "<image>"]


def test_the_tokens_of_pictures_are_known_by_config_and_processor():
    config = SimpleNamespace(image_token_id=1, video_token_index=2, vision_token_id=3)
    processor = SimpleNamespace(image_token_id=4, video_token_id=None)
    assert visual_tokens(processor, config) == {1, 2, 4}
    assert visual_tokens(SimpleNamespace(), SimpleNamespace(image_token_index=5, video_token_id=6)) == {5, 6}


def test_a_word_is_one_token_in_any_case_with_or_without_a_blank():
    assert one_token_words(Tokenizer(), "yes") == [3, 4, 5]
    assert one_token_words(Tokenizer(), "no") == [6, 7]


def test_a_marker_is_broken_behind_its_first_letter():
    assert plain("a <image> b", ["<image>"]) == "a < image> b"


def test_a_processor_takes_pictures_alone_where_it_would_want_videos():
    class Both:
        def __init__(self, image_processor=None, tokenizer=None, video_processor=None, chat_template=None, size=1):
            self.parts = (image_processor, tokenizer, video_processor, chat_template, size)

    class Pictures:
        def __init__(self, image_processor=None, tokenizer=None):
            pass

    assert pictures_only(Pictures) is Pictures
    alone = pictures_only(Both)
    assert alone.__name__ == "Both" and issubclass(alone, Both) and alone is not Both
    assert alone("i", "t", "c", size=7).parts == ("i", "t", None, "c", 7)
