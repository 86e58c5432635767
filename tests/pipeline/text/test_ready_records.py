import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.runtime.io import DataError
from pipeline.text.ready_records import hash_file, read_records

RECORD = {"query": "a dog on grass", "prompt": "A dog runs."}


def write(path, content):
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", json.dumps(RECORD)),
        ("a.jsonl", "\ufeff" + json.dumps(RECORD) + "\r\n"),
        ("a.ndjson", json.dumps(RECORD)),
        ("a.json", json.dumps([RECORD], indent=2)),
        ("a.json", "\ufeff" + json.dumps(RECORD, indent=2)),
        ("a.jsonl.gz", gzip.compress(json.dumps(RECORD).encode())),
        ("a.parquet", pa.Table.from_pylist([RECORD])),
    ],
)
def test_each_kind_of_file_gives_its_records(tmp_path, name, content):
    assert list(read_records(write(tmp_path / name, content))) == [(1, RECORD)]


def test_half_a_character_becomes_one_that_can_be_written(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"query": "a \\ud83d", "turns": [{"content": "\\ude00"}], "n": 1}')
    assert list(read_records(path)) == [(1, {"query": "a \ufffd", "turns": [{"content": "\ufffd"}], "n": 1})]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", "", "no records in it"),
        ("a.json", "[]", "no records in it"),
        ("a.jsonl", '{"query": "a", "query": "b"}', "names 'query' twice"),
        ("a.jsonl", '{"query": "a", "n": ' + "1" * 5000 + "}", "JSON that cannot be read: Exceeds the limit"),
        ("a.jsonl", "[" * 100_000, "nested too deep|neither a JSON"),
        ("a.jsonl", '{"query": "caf\xe9"}'.encode("cp1252"), "convert it as windows-1252"),
        ("a.jsonl", json.dumps(RECORD).encode("utf-16"), "looks like UTF-16"),
        ("a.jsonl", gzip.compress(b"{}"), "gzip: name it with .gz"),
        ("a.jsonl.gz", gzip.compress(json.dumps(RECORD).encode())[:-9], "not a whole gzip file"),
        ("a.parquet", b"PAR1 and no more", "not a whole Parquet file"),
        ("a.csv", "query,prompt\na,b\n", "its name ends in .csv; name a JSON, JSONL or Parquet file"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, name, content, says):
    with pytest.raises(DataError, match=says) as refused:
        list(read_records(write(tmp_path / name, content)))
    assert "\n" not in str(refused.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(DataError, match="a folder; name a JSON"):
        list(read_records(str(tmp_path)))
    with pytest.raises(DataError, match="No such file"):
        hash_file(str(tmp_path / "a.jsonl"))


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.table([pa.array(["a"]), pa.array(["b"])], names=["query", "query"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are named 'query'; rename one"):
        list(read_records(str(tmp_path / "a.parquet")))


def test_files_with_a_bom_each_that_were_joined_are_read(tmp_path):
    path = write(tmp_path / "a.jsonl", '\ufeff\ufeff{"query": "a"}\n\ufeff{"query": "b\\u0000"}\n')
    assert [record["query"] for _, record in read_records(path)] == ["a", "b"]
