from dataclasses import replace

import pytest

from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import Scorer, count_cut_texts, score_all
from schemas.reasons import Reason
from schemas.reward import Dimension
from schemas.seams import Outcome, Scores
from tests.support.params import section_of
from tests.support.rows import BY, render_row

WHO = ("backend", "revision")


class Lengths:
    """A reward model whose one dimension is the length of what it is given; it cuts texts above `limit` characters."""

    def __init__(self, limit=None):
        self.by, self.limit, self.requests = BY, limit, []

    def map(self, items):
        for item in items:
            self.requests.append(item)
            if item.clip == b"bad":
                yield Outcome(reason=Reason.BAD_CLIP, detail="no frames")
                continue
            truncated = None if self.limit is None else len(item.text) > self.limit
            yield Outcome(value=Scores(dims=(Dimension(name="n", value=float(len(item.clip))),), truncated=truncated))


def scorer(model, name="n", scored_text="query"):
    by = BY.model_copy(update={"model": name})
    return Scorer(name, section_of("reward", backend="offline_dims", scored_text=scored_text), by, lambda: model)


def clip(number, **fields):
    return render_row(f"v{number}", **fields).model_copy(update={"frames_hash": f"{number:032d}"})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_a_model_reads_the_query_or_what_the_generator_read():
    row = clip(0, query="a dog", prompt="A dog runs.")
    short = row.model_copy(update={"rendered_text": "A dog."})
    assert scorer(None).text(short) == "a dog"
    assert [scorer(None, scored_text="prompt").text(item) for item in (row, short)] == ["A dog runs.", "A dog."]


def test_a_key_stands_on_frames_rate_text_and_model_alone():
    row = clip(0)
    key = scorer(None).key(row)
    assert scorer(None).key(row.model_copy(update={"video_id": "another", "seed": 7})) == key
    others = [
        scorer(None).key(clip(1)),
        scorer(None).key(row.model_copy(update={"frames_per_second": 16.0})),
        scorer(None).key(clip(0, query="a cat")),
        scorer(None, "m").key(row),
        *(replace(scorer(None), by=BY.model_copy(update={"model": "n", name: "x"})).key(row) for name in WHO),
    ]
    assert len({key, *others}) == 7


def test_clips_come_one_by_one_with_each_model_and_what_failed_keeps_its_reason(store):
    models = [Lengths(), Lengths()]
    scorers = [scorer(models[0], "a"), scorer(models[1], "b")]
    clips, heard = [clip(0), clip(1)], []
    content = {"v0": b"good", "v1": b"bad"}
    rows = list(score_all(clips, lambda row: content[row.video_id], scorers, store, lambda *n: heard.append(n)))
    assert [(row.video_id, one.name) for row, one, _ in rows] == [("v0", "a"), ("v0", "b"), ("v1", "a"), ("v1", "b")]
    assert [outcome.reason for _, _, outcome in rows] == [None, None, Reason.BAD_CLIP, Reason.BAD_CLIP]
    assert rows[0][2].value == {"answers": [], "dims": [{"name": "n", "value": 4.0}]}
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_texts_that_a_model_cut_are_counted_where_it_tells_them(store):
    scorers = [scorer(Lengths(limit=5), "cuts"), scorer(Lengths(), "has no limit")]
    clips = [clip(0, query="a dog"), clip(1, query="a long dog")]
    assert count_cut_texts(clips, scorers, store) == {}
    list(score_all(clips, lambda row: b"clip", scorers, store))
    assert count_cut_texts(clips, scorers, store) == {"text_truncated": {"cuts": 1}}
    assert count_cut_texts(clips, scorers[1:], store) == {}
