import pytest

from vpo.unroll import Stage, Unroller

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


BODY = {
    "cmd": "python -m pipeline critique --lane ${key} --arm ${item.arm} data/${key}/a.jsonl data/${key}/b.jsonl "
    "--params mine.yaml",
    "desc": "x, p -> c",
    "deps": ["data/${key}/a.jsonl", "${none}", {"pipeline/critique.py": None}],
    "outs": [
        "data/${key}/b.jsonl", {"results/${key}/b.json": None}, {"data/${key}/counts.json": {"cache": False}},
        {"data/${key}/kept.json": {"persist": True}},
    ],
    "metrics": [{"results/${key}/m.json": {"cache": False}}],
    "plots": ["results/${key}/p.csv"],
    "params": ["critique.votes", {"mine.yaml": ["a.${key}"]}, {"other.yaml": ["b"]}, {"whole.yaml": None}],
}  # fmt: skip


def test_a_stage_has_every_word_of_its_entry_in_its_place():
    entry = Unroller("g", "sub", VALUES).entry("critique", {"foreach": {"sft": {"arm": "w"}}, "do": BODY})
    (stage,) = entry.stages
    assert stage == Stage(
        name="critique@sft", graph="g", entry="critique", package="pipeline", module="critique",
        options=("--lane", "sft", "--arm", "w"), paths=("sub/data/sft/a.jsonl", "sub/data/sft/b.jsonl"),
        deps=("sub/data/sft/a.jsonl", "sub/pipeline/critique.py"),
        outs=("sub/data/sft/b.jsonl", "sub/data/sft/kept.json"),
        metrics=("sub/results/sft/m.json", "sub/results/sft/b.json", "sub/data/sft/counts.json"),
        plots=("sub/results/sft/p.csv",), params=("critique.votes", "a.sft", "sub/other.yaml:b", "sub/whole.yaml:"),
        params_file="sub/mine.yaml", desc="x, p -> c", columns={"key": "sft"},
    )  # fmt: skip
    assert (stage.lane, stage.arm, stage.code_file) == ("sft", "", "pipeline/critique.py")
    assert (stage.word_after("--lane"), stage.word_after("--arm"), stage.word_after("--none")) == ("sft", "w", None)
    assert (entry.writes, entry.desc, entry.axes, entry.has_lanes) == (
        "sub/data/<key>/b.jsonl",
        "x, p -> c",
        ("key",),
        True,
    )


@pytest.mark.parametrize(
    ("name", "written", "lane", "arm"),
    [
        ("critique_eval", {"matrix": {"suite": ["test"], "arm": ["dpo"]}}, "eval", "dpo"),
        ("critique", {"foreach": ["sft"]}, "sft", ""),
        ("critique_arm", {"foreach": ["dpo_x"]}, "", "dpo_x"),
        ("critique", {"matrix": {"lane": ["raw"], "arm": ["dpo"]}}, "raw", "dpo"),
        ("critique", {}, "", ""),
    ],
)
def test_a_stage_knows_its_lane_and_its_arm(name, written, lane, arm):
    body = {"cmd": "python3 -m pipeline critique a/b"}
    written = written | {"do": body} if "foreach" in written else written | body
    (stage,) = UNROLLER.entry(name, written).stages
    assert (stage.lane, stage.arm) == (lane, arm)


def test_a_matrix_has_a_stage_for_every_combination_in_order():
    written = {
        "matrix": {"suite": ["test", "hard"], "arm": ["a", {"x": 1}]},
        "cmd": "touch x",
        "outs": ["${item.suite}/o"],
    }
    stages = UNROLLER.entry("m", written).stages
    assert [(stage.name, dict(stage.columns), stage.outs) for stage in stages] == [
        ("m@test-a", {"suite": "test", "arm": "a"}, ("test/o",)),
        ("m@test-arm1", {"suite": "test", "arm": "arm1"}, ("test/o",)),
        ("m@hard-a", {"suite": "hard", "arm": "a"}, ("hard/o",)),
        ("m@hard-arm1", {"suite": "hard", "arm": "arm1"}, ("hard/o",)),
    ]
    assert UNROLLER.entry("m", written).axes == ("suite", "arm")
    assert (stages[0].module, stages[0].code_file, stages[0].options, stages[0].paths) == ("", "", (), ())


@pytest.mark.parametrize("key", ["a.c", "a.b[7]", "a.b.x", "none.x", "gone"])
def test_a_placeholder_without_a_value_is_named(key):
    with pytest.raises(KeyError, match="has no value in the graph's params file"):
        UNROLLER.fill("${" + key + "}", VALUES)
