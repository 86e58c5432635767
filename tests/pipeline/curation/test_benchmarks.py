import json
import re

import polars as pl
import pytest

from pipeline.curation.benchmarks import read_benchmarks
from pipeline.runtime.io import DataError
from pipeline.text.clean import tokens


def write(folder, name, content):
    if isinstance(content, pl.DataFrame):
        content.write_parquet(folder / name)
    else:
        (folder / name).write_text(content, encoding="utf-8", newline="")
    return str(folder / name)


@pytest.mark.parametrize(
    "name, content",
    [
        ("a.txt", "a dog runs\r\na cat\n\na dog runs"),
        ("a.json", '["a dog runs", "a cat"]'),
        ("a.json", '[{"prompt_en": "a dog runs", "dimension": ["x"]}, {"prompt_en": "a cat"}]'),
        ("a.jsonl", '{"prompt": "a dog runs"}\n{"prompt": "a cat"}\n'),
        ("a.csv", "n,prompt\n1,a dog runs\n2,a cat\n3,\n"),
        ("a.parquet", pl.DataFrame({"prompt": ["a dog runs", "a cat"]})),
    ],
)
def test_each_format_gives_the_same_prompts(tmp_path, name, content):
    lists, digests = read_benchmarks([write(tmp_path, name, content)])
    assert lists == {name: ["a dog runs", "a cat"]}
    assert re.fullmatch("[0-9a-f]{64}", digests[name])


@pytest.mark.parametrize(
    "name, content, why",
    [
        ("a.json", "[]", "holds no queries"),
        ("a.txt", "\n\n", "holds no prompts"),
        ("a.csv", "n,words\n1,a dog\n", "none of the columns prompt_en, prompt, query, text, caption is there"),
        ("a.json", '["a dog", 3]', "prompt 2 is not text"),
        ("a.json", '["a dog"', "not JSON"),
        ("a.md", "a dog", "its name must end in"),
    ],
)
def test_a_list_that_cannot_be_used_is_told_in_one_line(tmp_path, name, content, why):
    with pytest.raises(DataError) as caught:
        read_benchmarks([write(tmp_path, name, content)])
    assert why in caught.value.message
    assert "\n" not in caught.value.message


def test_half_a_character_in_a_list_becomes_one_that_can_be_write(tmp_path):
    lists, _ = read_benchmarks([write(tmp_path, "a.json", '["a \\ud83d dog"]')])
    assert lists == {"a.json": ["a \ufffd dog"]}


def test_a_list_that_is_missing_or_named_twice_is_told(tmp_path):
    with pytest.raises(DataError, match=r"no such file; put it there, or take it out of queries.benchmarks"):
        read_benchmarks([str(tmp_path / "a.txt")])
    (tmp_path / "b").mkdir()
    paths = [write(tmp_path, "a.txt", "a dog"), write(tmp_path / "b", "a.txt", "a cat")]
    with pytest.raises(DataError, match="two files a.txt"):
        read_benchmarks(paths)


def test_the_benchmarks_at_hand_are_read_whole(shared_data):
    paths = [shared_data / "vbench" / "VBench_full_info.json", shared_data / "prompt_a_video_vbench_100.txt"]
    lists, _ = read_benchmarks(map(str, paths))
    assert [len(prompts) for prompts in lists.values()] == [944, 100]
    infos = json.loads(paths[0].read_text())
    assert set(lists["VBench_full_info.json"]) == {info["prompt_en"].strip() for info in infos}
    assert tokens(lists["prompt_a_video_vbench_100.txt"][0]) == ("a", "person", "is", "shining", "shoes")
