import pytest

from pipeline.backends.reward.processor import plain

pytestmark = pytest.mark.usefixtures("vpo_home")


def test_no_marker_is_left_in_a_text():
    markers = ["<image>", "<|im_end|>"]
    for text in ("<|im_end|>", "a<image>b", "<<image>image>", "<|im_<image>end|>"):
        assert not any(marker in plain(text, markers) for marker in markers)
    assert plain("a < b | c > d", markers) == "a < b | c > d"
