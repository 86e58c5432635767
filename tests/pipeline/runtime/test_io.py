import json
import os
import subprocess
import sys
from itertools import islice

import pytest

from pipeline.runtime.io import DataError, Writer, beside, locked, read_rows, stage_output, write_rows
from schemas.base import Dropped, Prompt
from schemas.critique import Critique
from schemas.stage import row_classes
from tests.support.rows import critique_row, prompt_fields


def prompts(n):
    return [Prompt(**prompt_fields(prompt=f"p{i}", sample=i)) for i in range(n)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_rows_come_back_as_they_were_and_bytes_repeat(tmp_path, name):
    rows = [critique_row(violated=("accurate",), query="naïve 狗\u2028"), critique_row()]
    write_rows(tmp_path / name, rows, Critique)
    first = (tmp_path / name).read_bytes()
    assert list(read_rows(tmp_path / name, Critique)) == rows
    write_rows(tmp_path / name, rows, Critique)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("row", row_classes().values(), ids=list(row_classes()))
def test_an_empty_parquet_file_still_has_its_columns(tmp_path, row):
    import pyarrow.parquet as pq

    write_rows(tmp_path / "empty.parquet", [], row)
    assert pq.read_schema(tmp_path / "empty.parquet").names == list(row.model_fields)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}\n", r"rows.jsonl:1: \w+: Field required"),
        ("not json\n", "rows.jsonl:1: the row: Invalid JSON"),
        ("\xff", "not UTF-8 text"),
    ],
)
def test_a_bad_row_file_names_file_line_and_field(tmp_path, text, says):
    (tmp_path / "rows.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        list(read_rows(tmp_path / "rows.jsonl", Prompt))


def test_an_unknown_column_is_refused(tmp_path):
    record = json.loads(prompts(1)[0].model_dump_json()) | {"stranger": 1}
    (tmp_path / "rows.jsonl").write_text(json.dumps(record))
    with pytest.raises(DataError, match="stranger"):
        list(read_rows(tmp_path / "rows.jsonl", Prompt))


def test_a_truncated_parquet_file_is_one_clear_error(tmp_path):
    write_rows(tmp_path / "rows.parquet", prompts(3), Prompt)
    whole = (tmp_path / "rows.parquet").read_bytes()
    (tmp_path / "rows.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="not a readable Parquet file"):
        list(read_rows(tmp_path / "rows.parquet", Prompt))


def test_dropped_and_metrics_lie_beside():
    from pathlib import Path

    assert beside(Path("data/sft/critique.jsonl")) == (
        Path("data/sft/critique_dropped.jsonl"),
        Path("results/sft/critique.json"),
    )


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


def test_a_row_that_vanishes_stops_the_stage_and_nothing_is_written(tmp_path, vpo_home):
    with pytest.raises(DataError, match="3 units came in, 2 went on and 0 were dropped"):
        run(tmp_path, lambda rows: (row for row in rows if row.sample), prompts(3))
    assert not list((tmp_path / "data" / "sft").glob("*"))


def test_input_that_is_left_unread_stops_the_stage(tmp_path, vpo_home):
    with pytest.raises(DataError, match="not read to its end"):
        run(tmp_path, lambda rows: islice(rows, 2), prompts(3))
    assert not list((tmp_path / "data" / "sft").glob("*"))


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


def test_pairs_are_counted_by_query():
    rows = []
    writer = Writer(Prompt, "x", rows.append, rows.append)
    writer.write(prompts(3) + prompts(2))
    assert (writer.units_done, len(rows)) == (3, 5)


def test_two_runs_never_write_the_same_output(tmp_path, vpo_home):
    out = tmp_path / "out.jsonl"
    with locked(out), pytest.raises(DataError, match="another run is writing it"), locked(out):
        pass


def test_a_stage_stops_when_the_dvc_that_started_it_is_gone(tmp_path, root):
    """A parent starts a child that watches it, prints the child's id and dies."""
    child = (
        "import time; from pipeline.runtime.io import stop_with_parent as s; s(0.05); "
        "print('up', flush=True); time.sleep(600)"
    )
    parent = (
        "import subprocess, sys, os; "
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE); "
        "p.stdout.readline(); print(p.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], cwd=root, env={**os.environ, "DVC_STAGE": "x"}, capture_output=True, text=True
    )
    pid = int(done.stdout)
    for _ in range(1200):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().split()[2] == "Z":
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        subprocess.run(["sleep", "0.1"])
    os.kill(pid, 9)
    pytest.fail("the stage went on after its parent had died")
