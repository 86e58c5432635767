import pytest
from click.testing import CliRunner
from misbehaving import REFUSAL, WELL, Misbehaving
from rows import critique_row

from pipeline.backends.teacher import make_teacher
from pipeline.io import read_rows
from pipeline.refine import main, refine
from schemas.base import Dropped, content_id
from schemas.refine import Refine


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
    [("", "unparsed", "empty"), ("A dog.", "unparsed", "no_start"), (REFUSAL, "refused", "refusal")],
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
    rows = [critique_row(()), critique_row(("accurate",), prompt="A cat.")]
    critiques.write_text("".join(row.model_dump_json() + "\n" for row in rows))
    result = CliRunner().invoke(main, [str(critiques), str(out)])
    assert result.exit_code == 0, result.output
    (row,) = read_rows(out, Refine)
    assert " a dog." in row.p_refined
