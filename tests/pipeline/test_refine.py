import json

import pytest
from click.testing import CliRunner

from pipeline.backends.teacher import make_teacher
from pipeline.backends.teacher.offline import between, task_of
from pipeline.d_sft import d_sft
from pipeline.d_text import d_text
from pipeline.refine import main, refine
from pipeline.runtime.io import DataError, read_rows, write_rows
from schemas.base import Dropped, content_id
from schemas.critique import Critique
from schemas.refine import Refine
from tests.support.misbehaving import REFUSAL, WELL, Misbehaving
from tests.support.panel import NO, YES, Panel
from tests.support.rows import critique_row


@pytest.fixture
def params(laptop, root):
    return (
        laptop.refine.model_copy(update={"template": root / laptop.refine.template}),
        laptop.critique.model_copy(update={"template": root / laptop.critique.template}),
    )


def test_a_flawed_prompt_is_refined(params):
    (row,) = refine([critique_row(("accurate",))], Misbehaving(WELL["refine"]), *params)
    assert (row.prompt, row.p_refined) == ("A dog runs.", "A better dog.")
    assert row.p_refined_id == content_id(row.query_id, "A better dog.")


def test_an_aligned_prompt_is_not_asked_about(params):
    teacher = Misbehaving()
    (dropped,) = refine([critique_row(())], teacher, *params)
    assert (dropped.reason, teacher.asked) == ("no_flaw", [])


def test_the_refinement_continues_the_critics_conversation(params):
    teacher = Misbehaving(WELL["refine"])
    list(refine([critique_row(("accurate",))], teacher, *params))
    (messages,) = teacher.asked
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "<video_prompt>\nA dog runs.\n</video_prompt>" in messages[0]["content"]
    assert messages[1]["content"] == "because"
    assert "Final Refined Prompt" in messages[2]["content"]


@pytest.mark.parametrize(
    ("reply", "reason", "detail"),
    [("", "empty", "empty"), ("A dog.", "unparsed", "no_start"), (REFUSAL, "refused", "refusal")],
)
def test_a_reply_without_a_prompt_leaves_with_its_reason(params, reply, reason, detail):
    (dropped,) = refine([critique_row(("accurate",))], Misbehaving(reply), *params)
    assert (dropped.input_id, dropped.reason) == (critique_row().prompt_id, reason)
    assert dropped.detail.startswith(detail)


def test_rows_in_are_rows_out_and_dropped(params, laptop):
    rows = [
        critique_row(("accurate",) if i % 3 else (), query=f"{i} red dogs on a beach", prompt=f"{i} dogs.")
        for i in range(12)
    ]
    out = list(refine(rows, make_teacher(laptop.teacher, laptop.world), *params))
    assert len(out) == 12
    assert sum(isinstance(item, Dropped) for item in out) == 4


def test_the_command_writes_what_was_refined(tmp_path, root, monkeypatch, vpo_home):
    monkeypatch.chdir(root)
    critiques, out = tmp_path / "critique.jsonl", tmp_path / "refine.jsonl"
    rows = [critique_row(()), critique_row(("accurate",), prompt="A cat.", sample=1)]
    critiques.write_text("".join(row.model_dump_json() + "\n" for row in rows))
    result = CliRunner().invoke(main, [str(critiques), str(out)])
    assert result.exit_code == 0, result.output
    (row,) = read_rows(out, Refine)
    assert " a dog." in row.p_refined


def verified(params, verify):
    """The sections with `verify` rounds; without them they are the laptop's."""
    return params[0].model_copy(update={"verify": verify}), params[1]


def passing(*good, gone=()):
    """A teacher that refines p to p1, p2, ... by the sample, passes the `good` and has no verdict on the `gone`."""

    def say(messages, sample):
        if task_of(messages) == "critique":
            prompt = between(messages, "video_prompt")
            return "hm" if prompt in gone else YES if prompt in good else f"{prompt} is flawed. {NO}"
        return f"[[start]]{between(messages[:1], 'video_prompt').rstrip('123')}{sample + 1}[[end]]"

    return Panel(say, ahead=1)


def tasks(teacher):
    return [(task_of(messages), sample) for messages, sample in teacher.asked]


def test_without_verify_nobody_asks_the_critic(params):
    teacher = passing()
    (row,) = refine([critique_row(("accurate",), prompt="p")], teacher, *verified(params, 0))
    assert tasks(teacher) == [("refine", 0)]
    assert (row.p_refined, row.rounds, row.verified, row.verified_by) == ("p1", 1, None, None)


def test_a_refined_prompt_that_passes_the_critic_goes_on(params):
    teacher = passing("p1")
    (row,) = refine([critique_row(("accurate",), prompt="p")], teacher, *verified(params, 2))
    assert tasks(teacher) == [("refine", 0), ("critique", 0)]
    assert (row.p_refined, row.rounds, row.verified, row.critique) == ("p1", 1, True, "because")
    assert row.verified_by.store_key != row.refined_by.store_key


def test_one_that_fails_is_refined_again_in_the_conversation_about_it(params):
    teacher = passing("p2")
    (row,) = refine([critique_row(("accurate",), prompt="p")], teacher, *verified(params, 2))
    assert tasks(teacher) == [("refine", 0), ("critique", 0), ("refine", 1), ("critique", 0)]
    asked, said, wish = (message["content"] for message in teacher.asked[2][0])
    assert "<video_prompt>\np1\n</video_prompt>" in asked
    assert said.startswith("p1 is flawed.") and "Final Refined Prompt" in wish
    assert (row.prompt, row.critique, row.p_refined, row.rounds) == ("p", "because", "p2", 2)


@pytest.mark.parametrize("verify", [1, 2, 3])
def test_one_that_fails_so_many_times_leaves_as_not_verified(params, verify):
    teacher = passing()
    (dropped,) = refine([critique_row(("accurate",), prompt="p")], teacher, *verified(params, verify))
    assert (dropped.reason, dropped.detail) == ("not_verified", f"still not accurate; refinements: {verify}")
    assert len(teacher.asked) == 2 * verify


def test_a_critic_without_a_verdict_passes_nothing(params):
    (dropped,) = refine([critique_row(("accurate",), prompt="p")], passing(gone=["p1"]), *verified(params, 3))
    assert (dropped.reason, dropped.detail) == ("unparsed", "critique of p_refined: no_verdict")


def test_a_refinement_that_fails_at_the_second_try_leaves_with_its_reason(params):
    replies = {("refine", 0): "[[start]]p1[[end]]", ("critique", 0): NO, ("refine", 1): ""}
    teacher = Panel(lambda messages, sample: replies[task_of(messages), sample])
    (dropped,) = refine([critique_row(("accurate",), prompt="p")], teacher, *verified(params, 2))
    assert (dropped.reason, dropped.detail, len(teacher.asked)) == ("empty", "empty", 3)


@pytest.mark.parametrize("ahead", [0, 1, 50])
def test_rows_stay_in_order_however_many_rounds_each_takes(params, ahead):
    rows = [critique_row(("accurate",) if name != "d" else (), prompt=name) for name in "abcdef"]
    teacher = passing("a1", "b2", "e1", "f2", gone=["c1"])
    teacher.ahead = ahead
    *out, aligned = refine(rows, teacher, *verified(params, 2))
    assert [getattr(item, "p_refined", item.__dict__.get("reason")) for item in out] == [
        "a1", "b2", "unparsed", "e1", "f2",
    ]  # fmt: skip
    assert aligned.reason == "no_flaw"


def test_what_was_not_verified_is_in_neither_d_sft_nor_d_text(params, laptop):
    rows = [critique_row(("accurate",), prompt="a"), critique_row(("accurate",), query="a cat", prompt="b")]
    out = list(refine(rows, passing("a1"), *verified(params, 1)))
    better = {row.prompt_id: row for row in out if isinstance(row, Refine)}
    kept, lost = d_sft(rows, better)
    assert (kept.prompt, lost.input_id, lost.reason) == ("a1", rows[1].query_id, "not_refined")
    pair, none = d_text(rows, better, laptop.dpo)
    assert (pair.chosen, none.input_id, none.reason) == ("a1", rows[1].query_id, "not_refined")


@pytest.mark.parametrize("name", ["refine.jsonl", "refine.parquet"])
def test_a_verified_row_can_be_read_back(tmp_path, params, name):
    rows = list(refine([critique_row(("accurate",), prompt="p")], passing("p1"), *verified(params, 1)))
    write_rows(tmp_path / name, rows, Refine)
    assert list(read_rows(tmp_path / name, Refine)) == rows


def test_the_command_verifies_and_loses_nothing(tmp_path, root, monkeypatch, vpo_home):
    monkeypatch.chdir(root)
    params = tmp_path / "params.yaml"
    text = (root / "params.yaml").read_text()
    params.write_text(text.replace("  verify: 0 ", "  verify: 2 ").replace("false_alarms: 0.0", "false_alarms: 1.0"))
    critiques, out = tmp_path / "critique.jsonl", tmp_path / "refine.jsonl"
    write_rows(critiques, [critique_row(()), critique_row(("accurate",), prompt="A cat.", sample=1)], Critique)
    result = CliRunner().invoke(main, [str(critiques), str(out), "--params", str(params)])
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "refine.json").read_text())
    assert metrics["dropped"] == {"no_flaw": 1, "not_verified": 1} and metrics["refined_again"] == 0


def test_a_template_that_does_not_read_the_prompt_is_refused_before_anybody_is_asked(params, tmp_path):
    path = tmp_path / "words.jinja"
    path.write_text("{{ query }}")
    with pytest.raises(DataError, match="words.jinja: the template must read {{ prompt }}"):
        list(refine([critique_row()], Misbehaving(), params[0], params[1].model_copy(update={"template": path})))
