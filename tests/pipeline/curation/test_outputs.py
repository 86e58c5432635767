import polars as pl
import pytest

from pipeline.curation.outputs import write_splits
from pipeline.runtime.io import DataError


def test_a_raw_row_that_vanishes_stops_the_stage_and_nothing_is_written(tmp_path, vpo_home):
    outs = {split: tmp_path / "data" / "queries" / f"{split}.jsonl" for split in ("sft", "dpo", "test")}
    with (
        pytest.raises(DataError, match="3 raw rows came in, 0 went on and 2 were dropped"),
        write_splits(outs) as made,
    ):
        made.units_in, made.dropped = 3, pl.DataFrame({"reason": ["similar", "similar"]})
    assert not any(out.exists() for out in outs.values())
