import json

import pytest

from pipeline.runtime.io import DataError, read_rows, write_rows
from schemas.base import Prompt
from schemas.critique import Critique
from schemas.stage import row_classes
from tests.support.rows import critique_row, prompts


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
