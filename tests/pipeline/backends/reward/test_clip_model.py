import pytest

from pipeline.reward import make_scorer, reward
from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import count_cut_texts
from pipeline.video.clips import decode, make_clip
from schemas.seams import ScoreRequest
from tests.support import tiny_clip_scorers as tiny
from tests.support.clip_scores import CLIPS, params_of, score, values
from tests.support.rows import render_row

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("vpo_home")]  # batch sizes are kept there


def test_the_end_of_a_text_beyond_the_window_is_not_read(clip_scorers):
    window = "a b c d e f g h i j k l m n"  # 14 tokens and the two ends
    items = [ScoreRequest(CLIPS[0].clip, text) for text in (window, window + " o p", window[:-1] + "o")]
    whole, longer, other = values(score(params_of(clip_scorers, "clip"), items))
    assert longer == whole != other


def test_a_special_token_in_a_users_text_ends_nothing(clip_scorers):
    texts = ("a dog", "a dog <|endoftext|> a cat")
    plain, tricked = values(
        score(params_of(clip_scorers, "clip"), [ScoreRequest(CLIPS[0].clip, text) for text in texts])
    )
    assert plain != tricked


@pytest.mark.parametrize(("backend", "told"), [("clip", True), ("hpsv2", True), ("mps", True), ("aesthetic", None)])
def test_a_text_beyond_the_window_is_told(clip_scorers, backend, told):
    # a letter is a token, and two begin and end the text
    texts = ["a" * (tiny.WINDOW - 2), "a" * (tiny.WINDOW - 1)]
    whole, cut = score(params_of(clip_scorers, backend), [ScoreRequest(CLIPS[0].clip, text) for text in texts])
    assert (whole.value.truncated, cut.value.truncated) == (told and False, told)


def test_the_metrics_count_the_texts_that_each_model_cut_also_where_nothing_is_scored_anew(clip_scorers, tmp_path):
    frames = decode(tiny.video(7))
    clip = make_clip(frames, 8)
    texts = ["a" * 30, "a dog", "a" * 31]
    rows = [
        render_row(f"v{at}", query=text).model_copy(update={"frames_hash": clip.frames_hash})
        for at, text in enumerate(texts)
    ]
    store = Store(tmp_path / "store")
    scorers = [make_scorer(name, params_of(clip_scorers, name)) for name in ("clip", "aesthetic")]
    for _ in range(2):
        list(reward(rows, lambda row: clip.content, scorers, store))
        assert count_cut_texts(rows, scorers, store) == {"text_truncated": {"clip": 2}}
    assert count_cut_texts(rows[1:2], scorers, store) == {"text_truncated": {"clip": 0}}
    assert count_cut_texts(rows, scorers[1:], store) == {}
