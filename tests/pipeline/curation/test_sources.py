import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation.sources import Raw, join_frames, name_source, read_frames
from pipeline.runtime.io import DataError

VIDPROM = "uuid,prompt,time,toxicity,obscene,identity_attack,insult,threat,sexual_explicit\n"


@pytest.fixture
def source(laptop, tmp_path):
    """Write a file and return the params that read it."""

    def make(name, content, **changes):
        path = tmp_path / name
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return laptop.queries.model_copy(update={"source": "file", "path": str(path), **changes})

    return make


def read(*source):
    return [Raw(**record) for record in join_frames(read_frames(*source)).to_dicts()]


def texts_of(params):
    return [raw.text for raw in read(params)]


def fault(params):
    with pytest.raises(DataError) as caught:
        list(read(params))
    return caught.value.message


def test_vidprom_csv_with_quoted_lines_and_scores_is_understood(source):
    row = '"a dog\nruns, ""fast""",Sun Sep  3 12:27:44 2023,0.1,0.2,0.0,0.3,0.9,0.4\n'
    params = source("vidprom.csv", VIDPROM + "u1," + row + "u2,a cat,,,,,,,\n")
    assert list(read(params)) == [
        Raw("u1", 'a dog\nruns, "fast"', "Sun Sep  3 12:27:44 2023", 0.9),
        Raw("u2", "a cat", "", None),
    ]


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.json", json.dumps(["a dog", "a cat"])),
        ("a.json", json.dumps([{"prompt": "a dog", "id": 7}, {"prompt": "a cat", "id": 8}])),
        ("a.jsonl", '{"query": "a dog"}\n\n{"query": "a cat"}\n'),
        ("a.ndjson", '"a dog"\n"a cat"'),
        ("a.txt", "a dog\r\na cat\n"),
        ("a.tsv", "text\tn\na dog\t1\na cat\t2\n"),
        ("a.csv", "\ufeffprompt\r\na dog\r\na cat\r\n"),
        ("a.parquet", pa.table({"n": [1, 2], "text": ["a dog", "a cat"]})),
        ("a.parquet", pa.table({"prompt": pa.array(["a dog", "a cat"]).dictionary_encode()})),
    ],
)
def test_each_format_gives_the_same_queries(source, name, content):
    assert texts_of(source(name, content)) == ["a dog", "a cat"]


def test_columns_can_be_named(source):
    params = source("a.csv", "prompt,nr,ours\nx,4,a dog\n", query_column="ours", id_column="nr")
    assert list(read(params)) == [Raw("4", "a dog")]


def test_without_an_id_column_the_position_names_a_row(source):
    assert [raw.source_id for raw in read(source("a.txt", "a\nb\n"))] == ["0", "1"]


def test_of_several_columns_that_name_a_row_the_first_in_the_usual_order_does(source):
    assert [raw.source_id for raw in read(source("a.csv", "source_id,id,prompt,UUID\ns,i,a dog,u\n"))] == ["u"]
    assert [raw.source_id for raw in read(source("b.csv", "source_id,id,prompt\ns,i,a dog\n"))] == ["i"]


def test_a_repeated_id_gets_its_position_behind_it(source):
    params = source("a.csv", "id,prompt\nx,a\nx,b\nx#1,c\n,d\nx,e\n")
    assert [raw.source_id for raw in read(params)] == ["x", "x#1", "x#1#2", "3", "x#4"]


def test_limit_reads_only_so_many_rows(source):
    assert texts_of(source("a.txt", "a\nb\nc\n", limit=2)) == ["a", "b"]


def test_the_synthetic_corpus_is_read_like_a_source(laptop):
    corpus = [{"source_id": "s1", "query": "a dog", "unsafe_score": 0.25, "time": "now"}]
    assert list(read(laptop.queries, corpus)) == [Raw("s1", "a dog", "now", 0.25)]


def test_rows_name_the_file_and_not_its_folder(laptop):
    file = laptop.queries.model_copy(update={"source": "file", "path": "/somewhere/else/q.csv"})
    hub = laptop.queries.model_copy(update={"source": "hub", "path": "owner/name"})
    assert [name_source(params) for params in (laptop.queries, file, hub)] == ["synthetic", "q.csv", "owner/name"]


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("a.json", '["a", 5, "c"]', "item 2: a number, not a string or an object"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": null}\n{"prompt": "c"}', "prompt is NoneType, not text"),
        ("a.jsonl", '{"prompt": "a"}\n{"other": "b"}\n{"prompt": "c"}', "prompt is NoneType, not text"),
        ("a.csv", "prompt,n\na,1\nb\nc,3\n", "line 3: 1 fields where the header has 2"),
        ("a.csv", "prompt,toxicity\na,0\nb,high\nc,1\n", "toxicity is text of 4 characters, not a number"),
        ("a.csv", "prompt,toxicity\na,0\nb,99\nc,1\n", "toxicity is 99.0, not between 0 and 1"),
    ],
)
def test_a_row_that_cannot_be_read_says_why_and_the_others_are_read(source, name, content, why):
    rows = list(read(source(name, content)))
    assert [raw.text for raw in rows] == ["a", None, "c"]
    assert [raw.fault for raw in rows] == [None, why, None]


def test_a_score_that_is_missing_is_unknown(source):
    table = pa.table({"prompt": ["a", "b"], "toxicity": [float("nan"), 0.5], "threat": [None, 0.75]})
    assert list(read(source("a.parquet", table))) == [Raw("0", "a"), Raw("1", "b", None, 0.75)]


def test_half_a_character_in_json_becomes_one_that_can_be_written(source):
    (raw,) = read(source("a.json", '["a \\ud83d dog"]'))
    assert raw.text == "a \ufffd dog"


def test_the_first_record_need_not_have_a_score(source):
    rows = list(read(source("a.jsonl", '{"prompt": "a"}\n{"prompt": "b", "toxicity": 0.9}\n')))
    assert [raw.unsafe_score for raw in rows] == [None, 0.9]


def test_a_score_too_large_for_a_number_is_told(source):
    rows = list(read(source("a.jsonl", f'{{"prompt": "a", "toxicity": 1{"0" * 400}}}\n')))
    assert [raw.fault for raw in rows] == ["toxicity is a number of 401 digits, not between 0 and 1"]


def test_a_query_of_ten_megabytes_is_read(source):
    big = "x" * 10_000_000
    assert texts_of(source("a.csv", f'prompt\n"{big}"\nb\n')) == [big, "b"]


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("a.csv", "", "an empty file"),
        ("a.json", "[]", "holds no queries"),
        ("a.parquet", pa.table({"prompt": pa.array([], pa.string())}), "holds no queries"),
        ("a.xls", "x", "must end in .csv, .json"),
        ("a.json", '{"prompts": ["a"]}', "holds an object where a list"),
        ("a.json", '["a"', "not JSON: Expecting ',' delimiter: line 1"),
        ("a.json", '{"prompt": "a"}\n{"prompt": "b"}', "name it .jsonl"),
        ("a.jsonl", '{"prompt": "a"}\n{"prompt": \n', "a.jsonl:2: not JSON"),
        ("a.json", "[" * 100_000, "not JSON"),
        (
            "a.csv",
            "prompt,n\na dog,1\ncafé,2\n".encode("latin-1"),
            "byte 20 is not UTF-8 (0xe9, line 3); convert",
        ),
        ("a.csv", "prompt\na dog\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
        ("a.csv", "prompt\na dog\n".encode("utf-16-le"), "looks like UTF-16"),
        ("a.csv", "words,n\na,1\n", "name the query's column in queries.query_column: it has words, n"),
        ("a.csv", 'prompt,n\na,1\n"b,2\nc,3\n', "broken CSV in the row that starts at line 3"),
        ("a.csv", 'prompt,n\n"a "dog"",1\nb,2\n', "broken CSV in the row that starts at line 2"),
        ("a.csv", "prompt,prompt\na,b\n", "two columns are named 'prompt'"),
        (
            "a.parquet",
            pa.Table.from_arrays([pa.array(["a"])] * 2, names=["prompt"] * 2),
            "two columns are named 'prompt'",
        ),
        ("a.parquet", b"PAR1 and then nothing", "not a whole Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(source, name, content, expected):
    message = fault(source(name, content))
    assert expected in message
    assert name in message
    assert "\n" not in message


def test_a_parquet_file_that_was_cut_is_told(source, tmp_path):
    params = source("a.parquet", pa.table({"prompt": ["a dog"] * 5000}))
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    assert "copy or download it again" in fault(params)


def test_a_damaged_parquet_page_is_told(source, tmp_path):
    params = source("a.parquet", pa.table({"prompt": [f"a dog {n}" for n in range(5000)]}))
    whole = bytearray((tmp_path / "a.parquet").read_bytes())
    whole[4:4000] = os.urandom(3996)
    (tmp_path / "a.parquet").write_bytes(whole)
    assert "copy or download it again" in fault(params)


@pytest.mark.parametrize("param", ["query_column", "id_column"])
def test_a_named_column_that_is_not_there_is_told_with_those_that_are(source, param):
    message = fault(source("a.csv", "prompt,n\na,1\n", **{param: "nope"}))
    assert f"no column 'nope' (queries.{param}); it has prompt, n" in message


def test_the_query_s_column_names_no_row(source):
    assert list(read(source("a.csv", "id,n\na,1\n", query_column="id"))) == [Raw("0", "a")]
    assert "which holds the query" in fault(source("a.csv", "prompt,n\na,1\n", id_column="prompt"))


def test_a_folder_or_nothing_in_the_file_s_place_is_told(laptop, tmp_path):
    for path, expected in ((tmp_path, "a folder"), (tmp_path / "no.csv", "no such file")):
        assert expected in fault(laptop.queries.model_copy(update={"source": "file", "path": str(path)}))


def test_a_hub_dataset_that_cannot_be_reached_is_told_in_one_line(laptop):
    params = laptop.queries.model_copy(update={"source": "hub", "path": "nobody/nothing", "revision": "0" * 40})
    message = fault(params)
    assert "nobody/nothing at 0000" in message
    assert "HF_HUB_OFFLINE" in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["Prompt", " prompt ", "PROMPT", "QUERY", "Text"])
def test_case_and_blanks_of_a_header_do_not_hide_the_query(source, name):
    assert [raw.text for raw in read(source("a.csv", f"n,{name}\n1,a dog\n"))] == ["a dog"]
    assert [raw.text for raw in read(source("a.jsonl", json.dumps({name: "a dog"})))] == ["a dog"]
    assert [raw.text for raw in read(source("a.parquet", pa.table({name: ["a dog"]})))] == ["a dog"]


def test_a_named_column_is_found_without_its_case(source):
    assert [raw.text for raw in read(source("a.csv", "My Words,n\na dog,1\n", query_column="my words"))] == ["a dog"]


@pytest.mark.parametrize("header", ["prompt,query", "text,prompt", "Prompt,prompt "])
def test_two_columns_that_could_hold_the_query_are_asked_about(source, header):
    assert "could all be meant; name one in queries.query_column" in fault(source("a.csv", f"{header}\na,b\n"))
    name = header.split(",")[1]
    assert [raw.text for raw in read(source("a.csv", f"{header}\na,b\n", query_column=name))] == ["b"]


def test_diffusiondb_s_score_of_the_words_is_read_and_that_of_the_picture_named(source, capsys):
    text = "image_name,prompt,image_nsfw,prompt_nsfw\n0.png,a nude figure study,2.0,0.98\n1.png,a cat,0.1,0.01\n"
    assert [raw.unsafe_score for raw in read(source("a.csv", text))] == [0.98, 0.01]
    assert "not read as scores of unsafe queries: image_nsfw" in capsys.readouterr().err


@pytest.mark.parametrize("spelled", ["Toxicity", " toxicity", "TOXICITY"])
def test_a_score_is_found_without_its_case(source, spelled):
    assert [raw.unsafe_score for raw in read(source("a.csv", f"prompt,{spelled}\na dog,0.7\n"))] == [0.7]


def test_semicolons_tabs_and_packed_files_are_read(source):
    import gzip

    for name, content in [
        ("a.csv", "id;prompt\n1;a dog, a cat\n"),
        ("a.csv", "id\tprompt\r\n1\ta dog, a cat\r\n"),
        ("a.csv", "sep=;\nid;prompt\n1;a dog, a cat\n"),
        ("a.csv.gz", gzip.compress(b'id,prompt\n1,"a dog, a cat"\n')),
        ("a.txt", "a dog, a cat\r"),
    ]:
        assert [raw.text for raw in read(source(name, content)) if raw.text] == ["a dog, a cat"], name


def test_a_column_s_name_does_not_steer_the_terminal(source, capsys):
    assert texts_of(source("a.csv", "prompt,nsfw\x1b[31m\na dog,1\n")) == ["a dog"]
    assert "nsfw^[[31m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", '{"prompt": "a dog"}\n', "it holds JSON: name it .jsonl"),
        ("a.txt", "\n[\n", "it holds JSON"),
        ("a.txt", "id,prompt\n1,a dog\n", "its first line is the header of a table"),
        ("a.txt", "<!DOCTYPE html>\n<html>", "a web page"),
        ("a.csv", "version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("a.csv", "prompt,id\ra dog,1\r", "a line ends in a carriage return alone"),
        ("a.jsonl", '{"prompt": "a", "prompt": "b"}\n', "an object names 'prompt' twice"),
        ("a.csv", "prompt\n犬が走る\n".encode("iso-2022-jp"), "it looks like ISO-2022-JP"),
    ],
)
def test_a_file_that_is_another_than_its_name_says_is_told(source, name, content, expected):
    assert expected in fault(source(name, content))


def test_blank_lines_before_the_header_joined_marks_and_decimal_commas_are_read(source):
    assert texts_of(source("a.csv", "\n\r\nprompt,id\na dog,1\n")) == ["a dog"]
    assert texts_of(source("a.csv", "\ufeff\ufeffprompt,id\na dog,1\n")) == ["a dog"]
    (row,) = read(source("a.csv", "Prompt\u200b;prompt_nsfw\na dog;0,9\n"))
    assert (row.text, row.unsafe_score) == ("a dog", 0.9)


def test_keys_that_records_spell_otherwise_are_read_and_scores_that_come_later_are_told(tmp_path, laptop, capsys):
    records = [
        {"prompt": "a dog", "toxicity": 0.1}, {"Prompt": "a cat", "Toxicity": 0.9},
        {"prompt ": "a hen", "obscene": 0.8},
        {"prompt": "a fox", "prompt_nsfw": 0.7, "hate_score": 0.9}, {"prompt": "a", "PROMPT": "b"},
    ]  # fmt: skip
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    frame = join_frames(read_frames(laptop.queries.model_copy(update={"source": "file", "path": str(path)})))
    assert frame["text"].to_list() == ["a dog", "a cat", "a hen", "a fox", None]
    assert frame["unsafe_score"].to_list() == [0.1, 0.9, 0.8, 0.7, None]
    assert frame["fault"].to_list()[-1] == "item 5: two of its keys are 'prompt' but for case and blanks"
    assert "not read as scores of unsafe queries: hate_score" in capsys.readouterr().err
