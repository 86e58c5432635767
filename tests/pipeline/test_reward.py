import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.render import main as render_main
from pipeline.reward import main, reward
from pipeline.runtime.io import read_rows
from pipeline.runtime.store import Store
from pipeline.scoring.clip_scores import Scorer
from pipeline.video.clips import decode, make_clip
from schemas.base import Dropped
from schemas.reasons import Reason
from schemas.reward import Answer, Dimension, Reward
from schemas.rollout import Rollout
from schemas.seams import Outcome, Scores
from tests.support.params import section_of
from tests.support.rows import BY, prompt_fields, render_row


class Counting:
    """A reward model that answers as told, counts, and finds the clip b"bad" broken."""

    def __init__(self, answers=(True, False), dims=(), revision="0" * 16):
        self.by = BY.model_copy(update={"revision": revision})
        self.asked = []
        self.scores = Scores(
            tuple(Answer(question_id=f"q{at}", answer=yes) for at, yes in enumerate(answers)),
            tuple(Dimension(name=name, value=value) for name, value in dims),
        )

    def map(self, items):
        for item in items:
            self.asked.append(item)
            if item.clip == b"bad":
                yield Outcome(reason=Reason.BAD_CLIP, detail="no frames")
            else:
                yield Outcome(value=self.scores)


def model(scored_text="query"):
    return section_of("reward", backend="offline_dims", scored_text=scored_text)


def clip(at, **fields):
    return render_row(f"v{at}", prompt=f"A dog runs, take {at}.", **fields).model_copy(
        update={"frames_hash": f"{at:032d}"}
    )


CLIPS = [clip(at) for at in range(4)]


def scored(rows, models, tmp_path, read=lambda row: row.video_id.encode()):
    scorers = [
        Scorer(name, params, backend.by, lambda backend=backend: backend) for name, (backend, params) in models.items()
    ]
    items = list(reward(rows, read, scorers, Store(tmp_path / "store")))
    return [i for i in items if isinstance(i, Reward)], [i for i in items if isinstance(i, Dropped)]


def test_each_clip_gets_one_row_of_each_model(tmp_path):
    models = {"checklist": (Counting(), model()), "dims": (Counting((), [("VQ", 2.5)], "dims"), model())}
    made, dropped = scored(CLIPS, models, tmp_path)
    assert [(row.video_id, row.reward) for row in made] == [(f"v{at}", name) for at in range(4) for name in models]
    assert dropped == []
    assert [item.answer for item in made[0].answers] == [True, False] and made[0].dims == ()
    assert made[1].dims[0].value == 2.5 and made[1].answers == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_no_score_and_is_not_stored(tmp_path, value):
    made, dropped = scored(CLIPS[:1], {"dims": (Counting((), [("VQ", value)], "dims"), model())}, tmp_path)
    assert made == [] and dropped[0].reason == "no_score" and "VQ is" in dropped[0].detail
    again, _ = scored(CLIPS[:1], {"dims": (Counting((), [("VQ", 1.0)], "dims"), model())}, tmp_path)
    assert again[0].dims[0].value == 1.0


def test_the_same_frames_at_another_rate_are_scored_anew(tmp_path):
    backend = Counting()
    scored(CLIPS[:1], {"checklist": (backend, model())}, tmp_path)
    faster = CLIPS[0].model_copy(update={"frames_per_second": 16.0})
    scored([faster], {"checklist": (backend, model())}, tmp_path)
    assert len(backend.asked) == 2


def test_two_clips_of_the_same_frames_and_text_are_scored_once(tmp_path):
    backend = Counting()
    twin = CLIPS[0].model_copy(update={"video_id": "twin"})
    made, _ = scored([*CLIPS[:2], twin], {"checklist": (backend, model())}, tmp_path)
    assert [item.clip for item in backend.asked] == [b"v0", b"v1"]
    assert [row.video_id for row in made] == ["v0", "v1", "twin"] and made[2].answers == made[0].answers


def test_a_model_that_says_nothing_has_no_score(tmp_path):
    _, dropped = scored(CLIPS[:1], {"checklist": (Counting(()), model())}, tmp_path)
    assert [(item.reason, item.detail) for item in dropped] == [
        ("no_score", "checklist: the model gave neither answers nor dimensions")
    ]


@pytest.mark.parametrize(("scored_text", "text"), [("query", "a dog"), ("prompt", "A dog runs, take 0.")])
def test_a_model_sees_the_clip_and_the_text_that_its_params_name(tmp_path, scored_text, text):
    backend = Counting()
    made, _ = scored(CLIPS[:1], {"checklist": (backend, model(scored_text))}, tmp_path)
    assert [(item.clip, item.text) for item in backend.asked] == [(b"v0", text)]
    assert made[0].scored_text == text


def test_a_second_run_asks_nothing_and_reads_no_clip(tmp_path):
    def no_clip(row):
        raise AssertionError("read a clip whose score is known")

    first, _ = scored(CLIPS, {"checklist": (Counting(), model())}, tmp_path)
    backend = Counting(answers=(False, True))
    second, _ = scored(CLIPS, {"checklist": (backend, model())}, tmp_path, no_clip)
    assert backend.asked == [] and second == first


def test_scores_belong_to_frames_and_text_and_not_to_ids(tmp_path):
    backend = Counting()
    scored(CLIPS[:1], {"checklist": (backend, model())}, tmp_path)
    same = CLIPS[0].model_copy(update={"video_id": "another encoding"})
    other_text = clip(0, query="a cat")
    made, _ = scored([same, other_text], {"checklist": (backend, model())}, tmp_path)
    assert [item.text for item in backend.asked] == ["a dog", "a cat"] and len(made) == 2


def test_another_revision_of_the_model_scores_anew(tmp_path):
    scored(CLIPS, {"checklist": (Counting(), model())}, tmp_path)
    newer = Counting(revision="1" * 16)
    scored(CLIPS, {"checklist": (newer, model())}, tmp_path)
    assert len(newer.asked) == len(CLIPS)


def test_a_broken_clip_leaves_with_its_reason_once_for_each_model(tmp_path):
    models = {"checklist": (Counting(), model()), "dims": (Counting((), [("VQ", 1.0)], "dims"), model())}
    made, dropped = scored(CLIPS, models, tmp_path, lambda row: b"bad" if row.video_id == "v1" else b"good")
    assert len(made) + len(dropped) == len(CLIPS) * len(models)
    assert [(item.input_id, item.reason, item.detail) for item in dropped] == [
        ("v1", "bad_clip", "checklist: no frames"),
        ("v1", "bad_clip", "dims: no frames"),
    ]


@pytest.mark.parametrize("answers", [(True, True, True), (False, False)])
def test_a_checklist_that_says_the_same_to_everything_did_not_look(tmp_path, answers):
    made, dropped = scored(CLIPS[:1], {"checklist": (Counting(answers), model())}, tmp_path)
    assert made == [] and [item.reason for item in dropped] == ["degenerate"]


def test_the_command_scores_the_rendered_clips_and_repeats_byte_for_byte(root, tmp_path):
    folder = tmp_path / "data" / "dpo"
    folder.mkdir(parents=True)
    rows = [
        Rollout(**prompt_fields(prompt=f"A dog runs, take {at}. The colors are vivid.", sample=at)) for at in (0, 1)
    ]
    (folder / "rollout.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    params = ["--params", str(root / "params.yaml")]
    names = [str(folder / name) for name in ("rollout.jsonl", "render.parquet", "reward.parquet")]
    written = []
    for home in ("home", "home", "another home"):
        runner = CliRunner(env={"VPO_HOME": str(tmp_path / home)})
        assert runner.invoke(render_main, [*names[:2], *params]).exit_code == 0
        decode.cache_clear()
        result = runner.invoke(main, [*names[1:], *params])
        assert result.exit_code == 0, result.output
        written.append([(folder / name).read_bytes() for name in ("reward.parquet", "reward_dropped.jsonl")])
        # two models one after the other: each clip, and the good and the spoilt one that show whether it looks
        assert decode.cache_info().misses <= 2 * (2 + 2)
    assert written[0] == written[1] == written[2]
    made = list(read_rows(folder / "reward.parquet", Reward))
    assert [(row.reward, len(row.answers) > 20, len(row.dims)) for row in made] == [
        ("checklist", True, 0),
        ("dims", False, 7),
    ] * 2


def test_a_clip_of_real_bytes_is_read_by_the_offline_models(laptop, root):
    from pipeline.backends.reward import make_reward
    from schemas.seams import ScoreRequest

    questions = str(root / laptop.reward.models["checklist"].questions)
    params = laptop.reward.models["checklist"].model_copy(update={"questions": questions})
    content = make_clip(np.full((3, 48, 48, 3), 120, np.uint8), 8).content
    outcomes = list(make_reward(params).map([ScoreRequest(content, "a dog"), ScoreRequest(b"x", "a dog")]))
    assert len(outcomes[0].value.answers) == 33
    assert (outcomes[1].value, outcomes[1].reason) == (None, "bad_clip")
