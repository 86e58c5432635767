import inspect
import json
import os

import pytest

from pipeline.runtime.io import DataError, read_rows, replacing, replacing_folder, write_json, write_rows
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


class Disk:
    """Keeps what each file held, and what lay at `path`, when it was synced."""

    def __init__(self, path):
        self.path, self.synced = path, []

    def sync(self, file):
        before = self.path.read_text() if self.path.is_file() else None
        self.synced.append((os.pread(file, 100, 0).decode(), before))


def test_a_file_is_whole_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "deep/rows.json"
    write_json(path, "old")
    disk = Disk(path)
    with path.open() as reader:
        with replacing(path, disk.sync) as temporary:
            temporary.write_text("new")
            made = temporary.stat().st_ino
        assert reader.read() == '"old"\n'  # whoever reads goes on with what was there
    assert disk.synced == [("new", '"old"\n')]
    assert (path.read_text(), path.stat().st_ino) == ("new", made)
    assert [one.name for one in path.parent.iterdir()] == ["rows.json"]


def test_a_file_stays_as_it_was_when_the_work_fails(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_rows(path, prompts(1), Prompt)
    before = path.read_bytes()

    def fail():
        yield prompts(2)[1]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(path, fail(), Prompt)
    assert path.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_files_of_a_folder_are_whole_on_the_disk_before_any_takes_its_place(tmp_path):
    disk = Disk(tmp_path / "out/b")
    with replacing_folder(tmp_path / "out", sync=disk.sync) as temporary:
        (temporary / "a").write_text("one")
        (temporary / "b").write_text("two")
    assert sorted(disk.synced) == [("one", None), ("two", None)]


def test_what_is_synced_is_synced_by_the_system():
    assert all(inspect.signature(one).parameters["sync"].default is os.fsync for one in (replacing, replacing_folder))


def fill(folder, *names, owns=()):
    with replacing_folder(folder, owns) as temporary:
        for name in names:
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text("new")


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_ours_alone_is_replaced_whole(tmp_path):
    fill(tmp_path / "out", "00000.tar", "00001.tar", owns=("*.tar",))
    fill(tmp_path / "out", "00000.tar", owns=("*.tar",))
    assert files(tmp_path / "out") == {"00000.tar": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_others_put_into_a_folder_stays(tmp_path):
    out = tmp_path / "out"
    (out / "deep").mkdir(parents=True)
    kept = {name: "mine" for name in ("my_notes.txt", "deep/00001.tar", ".hidden")}
    for name in (*kept, "00000.tar", "00001.tar"):
        (out / name).write_text("mine")
    (out / "link").symlink_to(tmp_path / "nowhere")
    fill(out, "00000.tar", "data/train.parquet", owns=("*.tar",))
    assert files(out) == kept | {"00000.tar": "new", "data/train.parquet": "new"}
    assert (out / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_matches_one_of_several_patterns_is_ours(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("mine.txt", "a.tar", "b.json"):
        (out / name).write_text("old")
    fill(out, "c.tar", owns=("*.tar", "*.json"))
    assert files(out) == {"mine.txt": "old", "c.tar": "new"}


def test_a_folder_stays_as_it_was_when_the_work_fails(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "my_notes.txt").write_text("mine")
    with pytest.raises(RuntimeError), replacing_folder(out) as temporary:
        (temporary / "part").write_text("new")
        raise RuntimeError
    assert files(out) == {"my_notes.txt": "mine"}


def test_a_file_in_the_place_of_a_folder_is_named_and_stays(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(DataError, match="out: a file, where a folder is to be written"):
        fill(tmp_path / "out", "part")
    assert (tmp_path / "out").read_text() == "mine"


def edited(row, **changes):
    return row.model_copy(update=changes).model_dump_json().encode()


ONE, TWO = prompts(2)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([edited(ONE, prompt="another")], r"rows.jsonl:1: prompt_id: not that of its prompt"),
        ([edited(ONE), edited(TWO, prompt_id="0" * 16)], r"rows.jsonl:2: prompt_id: not that of its prompt"),
        ([edited(ONE, query="a cat")], r"rows.jsonl:1: query_id: not that of its query"),
        ([edited(ONE, prompt=" ")], r"rows.jsonl:1: prompt: empty"),
        ([edited(ONE), edited(TWO, split="sft")], r"rows.jsonl:2: split: sft, in a file of dpo"),
        ([edited(ONE), edited(ONE)], r"rows.jsonl:2: \('\w+', 'sft', 0\) stands in a row before this one too"),
        ([edited(ONE)[:-1] + b',"prompt":"p0"}'], r"rows.jsonl:1: prompt: stands twice in the row"),
        ([edited(ONE), edited(TWO).replace(b"a dog", b"a d\xffg")], r"rows.jsonl:2: not UTF-8 text"),
        ([edited(ONE, prompt="x" * 1_100_000)], r"rows.jsonl:1: a row of 1,100,\d+ bytes; 1,048,576 are the most"),
    ],
)
def test_a_row_that_cannot_be_what_it_says_is_refused_with_its_line(tmp_path, lines, says):
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(DataError, match=says):
        list(read_rows(tmp_path / "rows.jsonl", Prompt))


def test_a_text_with_what_looks_like_a_name_is_no_repeated_name(tmp_path):
    rows = [critique_row(query=f'say "prompt": and "query": {number}', prompt='"prompt":') for number in range(3)]
    write_rows(tmp_path / "rows.jsonl", rows, Critique)
    assert list(read_rows(tmp_path / "rows.jsonl", Critique)) == rows


def test_rows_of_another_split_than_the_file_are_refused(tmp_path):
    write_rows(tmp_path / "test.jsonl", [ONE], Prompt)
    with pytest.raises(DataError, match="test.jsonl:1: split: dpo, in a file of test"):
        list(read_rows(tmp_path / "test.jsonl", Prompt))


def test_ids_in_a_parquet_file_are_looked_at_too(tmp_path):
    write_rows(tmp_path / "rows.parquet", [ONE, TWO.model_copy(update={"prompt": "another"})], Prompt)
    with pytest.raises(DataError, match="rows.parquet: row 2: prompt_id: not that of its prompt"):
        list(read_rows(tmp_path / "rows.parquet", Prompt))
