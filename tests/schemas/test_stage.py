import pytest

from schemas.base import Dropped
from schemas.critique import Critique
from schemas.d_sft import DSft
from schemas.params import Params
from schemas.queries import Query, QueryDropped
from schemas.stage import Ask, dropped_class, row_class, row_classes
from tests.support.bounds import bounds_of


@pytest.mark.parametrize(
    ("stage", "row"),
    [("critique", Critique), ("d_sft", DSft), ("queries", Query), ("params", None), ("base", None), ("none", None)],
)
def test_the_row_class_of_a_stage_has_its_name(stage, row):
    assert row_class(stage) is row


def test_all_row_classes_are_there_and_nothing_else():
    assert set(row_classes()) == {
        "queries", "fewshot", "critique", "refine", "d_sft", "rollout", "d_text", "render", "reward", "d_video",
        "d_dpo", "evaluate",
    }  # fmt: skip


PROMPT = {"sample": ">= 0", "round": ">= 0"}
BOUNDS = {
    "fewshot": PROMPT, "rollout": PROMPT, "critique": PROMPT, "refine": PROMPT | {"rounds": ">= 1"}, "d_sft": PROMPT,
    "d_text": {"round": ">= 0"}, "d_video": {"round": ">= 0"}, "d_dpo": {"round": ">= 0"}, "reward": {"round": ">= 0"},
    "render": PROMPT | {
        "replicate": ">= 0", "offset": ">= 0", "size": "> 0", "n_frames": "> 0", "height": "> 0", "width": "> 0",
        "frames_per_second": "> 0",
    },
}  # fmt: skip


@pytest.mark.parametrize("stage", BOUNDS)
def test_a_row_refuses_what_cannot_be(stage):
    """Written twice on purpose; a new column may join."""
    assert bounds_of(row_class(stage), BOUNDS[stage]) == BOUNDS[stage]


def test_what_is_dropped_has_the_class_beside_the_row_class_where_there_is_one():
    assert (dropped_class(Query), dropped_class(Critique)) == (QueryDropped, Dropped)


def test_what_a_stage_asks_it_asks_always_unless_it_says_when():
    params = Params.model_construct()
    assert Ask("teacher", "teacher").when(params, ())
    assert not Ask("teacher", "judge", when=lambda params, options: "--judge" in options).when(params, ())
