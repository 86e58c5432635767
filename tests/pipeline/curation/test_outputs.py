import polars as pl
import pytest

from pipeline.curation.outputs import Outputs, write_splits
from pipeline.runtime.io import DataError


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
