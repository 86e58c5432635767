import pytest

from vpo.unroll import Unroller

VALUES = {"a": {"b": [1, {"c": "x"}]}, "none": None}
UNROLLER = Unroller("", "", VALUES)


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("plain", "plain"),
        ("${a.b[1].c}/file", "x/file"),
        ("${a.b.0}", 1),
        ("${a.b}", [1, {"c": "x"}]),
        ("${none}", None),
        (3, 3),
    ],
)
def test_a_placeholder_alone_is_the_value_itself_and_within_a_text_its_words(written, filled):
    assert UNROLLER.fill(written, VALUES) == filled


def test_of_several_commands_the_last_says_what_the_stage_is():
    entry = UNROLLER.entry("x", {"cmd": ["mkdir -p data", "python -m pipeline refine data/a.jsonl data/b.jsonl"]})
    (stage,) = entry.stages
    assert (entry.module, stage.paths) == ("refine", ("data/a.jsonl", "data/b.jsonl"))


def test_a_dep_that_a_param_leaves_empty_is_none():
    (stage,) = UNROLLER.entry("x", {"cmd": "python -m pipeline refine a/b", "deps": ["${none}", "a/b"]}).stages
    assert stage.deps == ("a/b",)


def test_an_entry_shows_where_the_key_stands_in_its_first_out():
    body = {"cmd": "python -m pipeline refine a/b", "outs": ["data/${key}/${item.split}.jsonl"]}
    entry = UNROLLER.entry("refine", {"foreach": {"sft": {"split": "s"}}, "do": body})
    assert entry.writes == "data/<key>/<split>.jsonl" and entry.has_lanes
    assert entry.stages[0].outs == ("data/sft/s.jsonl",)


def test_items_that_are_mappings_are_named_by_their_number():
    body = {"cmd": "python -m pipeline refine a/b", "outs": ["${item.path}"]}
    entry = UNROLLER.entry("x", {"foreach": [{"path": "a/0"}, {"path": "a/1"}], "do": body})
    assert [stage.name for stage in entry.stages] == ["x@0", "x@1"]
    entry = UNROLLER.entry("x", {"matrix": {"m": [{"path": "a/0"}]}, "cmd": "python -m pipeline refine a/b"})
    assert [stage.name for stage in entry.stages] == ["x@m0"]


def test_paths_are_told_from_the_projects_root_wherever_the_stage_runs():
    stages = {"cmd": "python -m pipeline refine ../x.jsonl data/b", "deps": ["../x.jsonl"], "outs": ["data/b"]}
    inside = Unroller("", "recipes/a", VALUES)
    (here,) = inside.entry("x", stages).stages
    assert (here.deps, here.outs) == (("recipes/x.jsonl",), ("recipes/a/data/b",))
    (above,) = inside.entry("x", stages | {"wdir": "../.."} | {"deps": ["in/x.jsonl"]}).stages
    assert (above.deps, above.outs) == (("in/x.jsonl",), ("data/b",))
