import json
from pathlib import Path

import polars as pl
import pyarrow.parquet
import pytest

from pipeline.curation.outputs import Outputs, write_dropped, write_splits
from pipeline.runtime.io import ROWS_A_GROUP, DataError, read_rows
from schemas.queries import Query, QueryDropped
from tests.support.small_project import queries


def test_a_raw_row_that_vanishes_stops_the_stage_and_nothing_is_written(tmp_path, vpo_home):
    outs = {split: tmp_path / "data" / "queries" / f"{split}.jsonl" for split in ("sft", "dpo", "test")}
    with (
        pytest.raises(DataError, match="3 raw rows came in, 0 went on and 2 were dropped"),
        write_splits(outs) as made,
    ):
        made.units_in, made.dropped = 3, pl.DataFrame({"reason": ["similar", "similar"]})
    assert not any(out.exists() for out in outs.values())


def test_frames_pass_unchanged_and_their_rows_are_counted():
    outputs = Outputs()
    frames = [pl.DataFrame({"text": ["a", "b"]}), pl.DataFrame({"text": ["c"]})]
    assert [frame.height for frame in outputs.count_in(frames)] == [2, 1]
    assert outputs.units_in == 3


def test_metrics_count_reasons_by_name():
    outputs = Outputs(units_in=3, dropped=pl.DataFrame({"reason": ["too_short", "empty", "empty"]}))
    assert outputs.metrics()["dropped"] == {"empty": 2, "too_short": 1}
    assert list(outputs.metrics()["dropped"]) == ["empty", "too_short"]


def test_the_splits_are_three_files_in_one_folder(tmp_path):
    outs = {
        "sft": tmp_path / "a" / "sft.jsonl",
        "dpo": tmp_path / "a" / "dpo.jsonl",
        "test": tmp_path / "b" / "t.jsonl",
    }
    with pytest.raises(DataError, match="three files in one folder"), write_splits(outs):
        pass


def made_rows():
    return [row for split in ("sft", "dpo", "test") for row in queries(split)]


@pytest.mark.slow  # it draws
def test_the_splits_the_dropped_rows_and_the_metrics_are_put_in_place_together(tmp_path, monkeypatch, vpo_home, capsys):
    monkeypatch.chdir(tmp_path)
    outs = {split: Path("data/queries") / f"{split}.jsonl" for split in ("sft", "dpo", "test")}
    (tmp_path / "data/queries/.queries.1.tmp").mkdir(parents=True)
    lost = QueryDropped(input_id="s/9", reason="similar", detail="to s/1", raw="a dog", witness_id="w", score=0.75)
    with write_splits(outs) as made:
        made.rows, made.units_in, made.report = made_rows(), len(made_rows()) + 1, {"recheck": {"asked": 3}}
        made.tables = {"lengths": [(1, 2, 3), (2, 3, 4)], "toxicity": [(0.0, 2, 1), (0.5, 1, 1)]}
        made.dropped = pl.DataFrame([lost.model_dump(mode="json")])
    for split, out in outs.items():
        assert list(read_rows(out, Query)) == queries(split)
    assert list(read_rows(Path("data/queries/queries_dropped.parquet"), QueryDropped)) == [lost]
    assert sorted(path.name for path in Path("data/queries").iterdir() if path.suffix != ".lock") == [
        "dpo.jsonl", "queries_dropped.parquet", "sft.jsonl", "test.jsonl",
    ]  # fmt: skip
    n = len(made_rows())
    assert json.loads(Path("results/queries.json").read_text()) == {
        "units_in": n + 1, "units_done": n, "units_dropped": 1, "rows": n, "dropped": {"similar": 1},
        "recheck": {"asked": 3},
    }  # fmt: skip
    assert "queries: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n_in", "dropped", "fault"),
    [
        (0, [], "the source holds no queries; nothing is written"),
        (2, ["similar", "empty"], "none of 2 raw queries is left: {'empty': 1, 'similar': 1}; nothing is written"),
    ],
)
def test_without_a_query_nothing_is_written(tmp_path, vpo_home, n_in, dropped, fault):
    outs = {split: tmp_path / "data/queries" / f"{split}.jsonl" for split in ("sft", "dpo", "test")}
    with pytest.raises(DataError) as raised, write_splits(outs) as made:
        made.units_in, made.dropped = n_in, pl.DataFrame({"reason": dropped}, schema={"reason": pl.String})
    assert raised.value.message == fault and not outs["sft"].exists()


def test_two_splits_in_one_file_are_refused(tmp_path):
    outs = dict.fromkeys(("sft", "dpo", "test"), tmp_path / "a/x.jsonl")
    with pytest.raises(DataError, match="three files in one folder"), write_splits(outs):
        pass


@pytest.mark.parametrize("n_rows", [0, 3, ROWS_A_GROUP + 1])
def test_dropped_rows_are_read_as_they_were_written_group_by_group(tmp_path, n_rows):
    row = QueryDropped(input_id="7", reason="similar", detail="to 3", raw="a dog", witness_id="0" * 16, score=0.75)
    kinds = {name: pl.Float64 if name == "score" else pl.String for name in row.model_dump()}
    frame = pl.DataFrame({name: [value] * n_rows for name, value in row.model_dump().items()}, kinds)
    write_dropped(tmp_path / "queries_dropped.parquet", frame)
    rows = list(read_rows(tmp_path / "queries_dropped.parquet", QueryDropped))
    assert len(rows) == n_rows and all(one == row for one in rows)
    groups = pyarrow.parquet.ParquetFile(tmp_path / "queries_dropped.parquet").metadata.num_row_groups
    assert groups == -(-n_rows // ROWS_A_GROUP)
