import json
from itertools import islice
from pathlib import Path

import pytest

from pipeline.runtime.io import DataError, write_rows
from pipeline.runtime.stage_output import Writer, dropped_path, metrics_path, stage_output
from schemas.base import Dropped, Prompt
from schemas.critique import Critique
from tests.support.rows import prompts
from tests.support.small_project import judged


def test_dropped_and_metrics_lie_beside():
    out = Path("data/sft/critique.jsonl")
    assert dropped_path(out) == Path("data/sft/critique_dropped.jsonl")
    assert metrics_path(out) == Path("results/sft/critique.json")
    assert metrics_path(Path("/data/project/data/sft/x.parquet")) == Path("/data/project/results/sft/x.json")


def run(tmp_path, items, rows):
    with stage_output(tmp_path / "data" / "sft" / "out.jsonl", Prompt) as writer:
        writer.write(items(writer.count(rows)))


def test_what_comes_in_goes_on_or_is_dropped(tmp_path, vpo_home):
    def stage(rows):
        for row in rows:
            yield row if row.sample else Dropped(input_id=row.prompt_id, reason="empty")

    run(tmp_path, stage, prompts(3))
    metrics = json.loads((tmp_path / "results" / "sft" / "out.json").read_text())
    assert metrics == {"units_in": 3, "units_done": 2, "units_dropped": 1, "rows": 2, "dropped": {"empty": 1}}


def test_a_file_that_is_broken_further_on_gives_no_row(tmp_path, vpo_home):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in prompts(3)) + "{")
    with stage_output(tmp_path / "data/out.jsonl", Prompt) as writer:
        with pytest.raises(DataError, match="prompts.jsonl:4: the row: Invalid JSON"):
            writer.read(path, Prompt)


def test_a_row_that_vanishes_stops_the_stage_and_nothing_is_written(tmp_path, vpo_home):
    with pytest.raises(DataError, match="3 units came in, 2 went on and 0 were dropped"):
        run(tmp_path, lambda rows: (row for row in rows if row.sample), prompts(3))
    assert not list((tmp_path / "data" / "sft").glob("*"))


def test_input_that_is_left_unread_stops_the_stage(tmp_path, vpo_home):
    with pytest.raises(DataError, match="not read to its end"):
        run(tmp_path, lambda rows: islice(rows, 2), prompts(3))
    assert not list((tmp_path / "data" / "sft").glob("*"))


def test_two_runs_of_a_stage_never_write_one_output(tmp_path, vpo_home):
    out = tmp_path / "data/sft/out.jsonl"
    with stage_output(out, Prompt) as writer:
        writer.write(writer.count(prompts(1)))
        with pytest.raises(DataError, match="another run is writing it"), stage_output(out, Prompt):
            pass
    assert len(out.read_text().splitlines()) == 1


def test_a_stage_that_fails_leaves_the_old_output(tmp_path, vpo_home):
    run(tmp_path, lambda rows: rows, prompts(2))
    before = (tmp_path / "data/sft/out.jsonl").read_bytes()

    def broken(rows):
        yield next(iter(rows))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        run(tmp_path, broken, prompts(2))
    assert (tmp_path / "data/sft/out.jsonl").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "data/sft").iterdir()) == ["out.jsonl", "out_dropped.jsonl"]


def test_a_harmless_row_is_shown_before_a_harmful_one_and_a_harmful_one_before_none(capsys):
    harmful, harmless = (row.model_copy(update={"safety": safety, "prompt": f"safety {safety}"})
                         for row, safety in zip(prompts(2), (True, False), strict=True))  # fmt: skip
    for rows, shown in (([harmful, harmless], "safety False"), ([harmful], "safety True")):
        Writer(Prompt, "x", lambda row: None, lambda row: None).write(rows)
        said = capsys.readouterr().err
        assert f"x: prompt: {shown}" in said and said.count("x: prompt") == 1


def test_of_verdicts_one_that_found_something_is_shown_with_what_it_found(capsys):
    rows = [judged(row, violated) for row, violated in zip(prompts(2), ((), ("accurate",)), strict=True)]
    Writer(Critique, "x", lambda row: None, lambda row: None).write(rows)
    assert "x: found: not accurate" in capsys.readouterr().err


def test_pairs_are_counted_by_query():
    rows = []
    writer = Writer(Prompt, "x", rows.append, rows.append)
    writer.write(prompts(3) + prompts(2))
    assert (writer.units_done, len(rows)) == (3, 5)


def test_a_tally_sums_what_each_row_adds_and_stands_in_the_metrics_without_rows(tmp_path, vpo_home):
    def first(rows):
        for row in rows:
            yield row if not row.sample else Dropped(input_id=row.prompt_id, reason="empty")

    for items, total in ((prompts(1), 7), (prompts(2)[1:], 0)):
        with stage_output(tmp_path / "data" / "out.jsonl", Prompt) as writer:
            writer.write(first(writer.count(items)), {"sevens": lambda row: 7})
            writer.add_metrics(source="a file")
        metrics = json.loads((tmp_path / "results" / "out.json").read_text())
        assert (metrics["sevens"], metrics["source"]) == (total, "a file")


def limited(rows, reason, share):
    for number, row in enumerate(rows):
        yield Dropped(input_id=row.prompt_id, reason=reason, detail="blocked") if number % 10 < share * 10 else row


def test_too_many_that_end_for_one_reason_of_a_model_stop_the_stage_with_it_first(tmp_path, vpo_home, laptop):
    with pytest.raises(DataError, match=r"^content_filter: 16 of the first 51 inputs of out ended so.*blocked"):
        with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
            rows = limited(writer.count(prompts(100)), "content_filter", 0.3)
            writer.write(rows, limit=laptop.base)
    assert not list((tmp_path / "data" / "sft").glob("*"))


def test_just_enough_inputs_stop_the_stage_and_just_the_share_does_not(tmp_path, vpo_home, laptop):
    base = laptop.base.model_copy(update={"stop_after": 50, "stop_share": 0.3})
    with pytest.raises(DataError, match="50 of the first 50 inputs"):
        with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
            writer.write(limited(writer.count(prompts(50)), "content_filter", 1.0), limit=base)
    rows = prompts(50)
    dropped = [Dropped(input_id=row.prompt_id, reason="content_filter") for row in rows[35:]]
    with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
        writer.write([*writer.count(rows[:35]), *dropped], limit=base)
        writer.add_units(15)
    assert (writer.n_rows, writer.units_dropped) == (35, 15)


@pytest.mark.parametrize(
    ("n", "reason", "share", "measured"),
    [
        (49, "content_filter", 1.0, ()),
        (100, "content_filter", 0.1, ()),
        (100, "no_flaw", 0.9, ()),
        (100, "refused", 0.9, ("refused",)),
    ],
)
def test_few_inputs_a_small_share_and_what_is_no_fault_of_a_model_stop_nothing(
    tmp_path, vpo_home, laptop, n, reason, share, measured
):
    with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
        writer.write(limited(writer.count(prompts(n)), reason, share), limit=laptop.base, measured=measured)
    assert writer.reasons[reason] > 0


def test_what_failed_is_told_in_the_last_line(tmp_path, vpo_home, laptop, capsys, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "critique@sft")
    with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
        writer.write(limited(writer.count(prompts(10)), "failed", 0.1), limit=laptop.base)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "  out: finished but for 1 that failed; another day may mend them: vpo retry critique@sft"
    )


def test_the_first_row_is_shown_without_steering_the_terminal(tmp_path, vpo_home, capsys):
    with stage_output(tmp_path / "data/sft/out.jsonl", Prompt) as writer:
        row = next(iter(prompts(1)))
        writer.write(writer.count([row.model_copy(update={"prompt": "a \x1b[31mdog\u202e"})]))
    shown = capsys.readouterr().err
    assert "a ^[[31mdog<U+202E>" in shown and "\x1b" not in shown


def test_a_row_may_stand_for_several_units_and_units_may_come_from_elsewhere(tmp_path, vpo_home):
    path = tmp_path / "in.jsonl"
    write_rows(path, prompts(3), Prompt)
    writer = Writer(Prompt, "x", lambda row: None, lambda row: None)
    rows = writer.read(path, Prompt, times=4)
    assert (writer.expected, writer.units_in) == (12, 0)
    assert len(list(rows)) == 3 and (writer.units_in, writer.unread) == (12, 0)
    writer.add_units(5)
    assert (writer.units_in, writer.expected) == (17, 17)
    other = Writer(Prompt, "x", lambda row: None, lambda row: None)
    other.add_units(2)
    assert (other.units_in, other.expected) == (2, 0)  # how many rows are to come nobody knows


def test_units_of_a_column_are_counted_once_over_several_files(tmp_path, vpo_home):
    rows = prompts(3)
    for name, some in (("a", rows[:2]), ("b", rows[1:])):
        write_rows(tmp_path / f"{name}.jsonl", some, Prompt)
    writer = Writer(Prompt, "x", lambda row: None, lambda row: None)
    assert len(list(writer.read_units([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], Prompt, "prompt_id"))) == 4
    assert writer.units_in == 3
    writer = Writer(Prompt, "x", lambda row: None, lambda row: None)
    list(writer.read_units(tmp_path / "a.jsonl", Prompt, "query_id"))
    assert writer.units_in == 1


def test_metrics_are_the_counts_with_reasons_by_name_and_what_was_added(laptop):
    puts, drops = [], []
    writer = Writer(Prompt, "x", puts.append, drops.append)
    rows = prompts(3)
    lost = [
        Dropped(input_id=name, reason=reason) for name, reason in (("a", "refused"), ("b", "failed"), ("c", "refused"))
    ]
    writer.write([rows[0], *lost, *rows[1:]], limit=laptop.base)
    writer.units_in = 6
    writer.add_metrics(seed=1)
    assert list(writer.metrics().items()) == [
        ("units_in", 6), ("units_done", 3), ("units_dropped", 3), ("rows", 3), ("dropped", {"failed": 1, "refused": 2}),
        ("seed", 1),
    ]  # fmt: skip
    assert list(writer.metrics()["dropped"]) == ["failed", "refused"] and (puts, drops) == (rows, lost)
    assert writer.units_mendable == 1
    assert writer._note(lambda: "$1") == "set aside: refused 2, failed 1 · $1" and writer._note(None) == writer._note(
        str
    )
    writer.asks_a_model = False  # what no model was asked for no other day mends
    assert writer.units_mendable == 0


@pytest.mark.parametrize(("n_in", "unread", "fault"), [
    (2, 0, ""), (3, 0, "3 units came in, 2 went on and 0 were dropped: some vanished"),
    (1, 0, "1 units came in, 2 went on"),
    (2, 1, "the input was not read to its end: some rows vanished"),
])  # fmt: skip
def test_what_comes_in_must_be_what_goes_out(n_in, unread, fault):
    writer = Writer(Prompt, "x", lambda row: None, lambda row: None)
    writer.write(prompts(2))
    writer.units_in, writer.unread = n_in, unread
    if not fault:
        writer.refuse_losses(Path("out"))
    else:
        with pytest.raises(DataError, match=f"^out: {fault}"):
            writer.refuse_losses(Path("out"))


@pytest.mark.parametrize(("n", "shown"), [(160, "x" * 160), (161, "x" * 157 + "...")])
def test_an_example_is_cut_behind_160_signs(capsys, n, shown):
    Writer(Prompt, "x", lambda row: None, lambda row: None).write(
        [prompts(1)[0].model_copy(update={"prompt": "x" * n})]
    )
    assert f"  x: prompt: {shown}" in capsys.readouterr().err.splitlines()


def test_what_a_killed_run_left_goes_and_what_others_left_stays(tmp_path, vpo_home):
    folder = tmp_path / "data/sft"
    folder.mkdir(parents=True)
    staying = {".other.jsonl.77.tmp", ".out.jsonl.tmp", "out.77.tmp"}
    for name in (".out.jsonl.77.tmp", ".out_dropped.jsonl.7.tmp", *staying):
        (folder / name).write_text("x")
    (folder / ".out.shards.9.tmp").mkdir()
    with stage_output(folder / "out.jsonl", Prompt) as writer:
        writer.write(writer.count(prompts(1)))
    left = {path.name for path in folder.iterdir() if path.suffix == ".tmp"}
    assert left == staying
