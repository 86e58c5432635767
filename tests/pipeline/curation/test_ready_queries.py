import pytest

from pipeline.curation.ready_queries import find_leaked, part_from_test, read_frame
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, write_rows
from pipeline.text.ready_forms import Frame
from pipeline.text.ready_sets import ReadySet
from schemas.base import Provenance, content_id
from schemas.d_sft import DSft
from schemas.queries import Query

TEST = [
    "a golden dog runs over the wet grass at dusk",
    'a neon sign that says "open"',
    "?!",
    "สุนัขสีทองวิ่งบนชายหาดตอนพระอาทิตย์ตกดิน",
]
OTHERS = ["a red boat on a quiet lake", "!!!", "两只猫在屋顶上跳舞"]


def sft_row(query):
    return DSft(
        query_id=content_id(query), query=query, split="sft", safety=False, prompt_id="p", prompt="P", arm="ready",
        sample=0, written_by=Provenance(backend="file", model="m", revision="r"), refined=False, violated=(),
    )  # fmt: skip


@pytest.fixture
def test_split(tmp_path):
    rows = [
        Query(query_id=content_id(text), query=text, split="test", safety=False, raw=text, source="s", source_id=text)
        for text in TEST
    ]
    write_rows(tmp_path / "test.jsonl", rows, Query)
    return str(tmp_path / "test.jsonl")


@pytest.mark.parametrize(
    ("query", "test"),
    [
        (TEST[0], 0),
        ("A golden dog runs over the wet grass at dusk.", 0),
        ("“a golden dog runs over the wet grass at dusk”", 0),
        ("a golden dog runs over the wet green grass at dusk", 0),
        ("a neon sign that says 'open'", 1),
        ("A Neon Sign that says OPEN!", 1),
        ("a gólden dog runs over the wet grass at düsk", 0),
        ("?!", 2),
        (TEST[3] + "มาก", 3),
    ],
)
def test_a_test_query_is_found_however_it_is_changed(query, test):
    assert find_leaked([*OTHERS, query], TEST) == {query: TEST[test]}


def test_other_queries_are_not_found_and_nothing_is_found_in_nothing():
    assert find_leaked(OTHERS, TEST) == {}
    assert find_leaked([], TEST) == find_leaked(OTHERS, []) == {}


def test_a_ready_set_with_a_test_query_is_refused_dropped_or_kept_as_told(test_split):
    leaked, fine = sft_row("A neon sign that says 'open'."), sft_row(OTHERS[0])
    ready = ReadySet([leaked, fine], [], [])
    with pytest.raises(DataError, match="mine.jsonl: 1 queries are in the test split or resemble one of it, first"):
        part_from_test(ready, test_split, "refuse", "mine.jsonl")
    dropped = part_from_test(ready, test_split, "drop", "mine.jsonl")
    assert dropped.rows == [fine] and [item.reason for item in dropped.dropped] == ["leaked"]
    kept = part_from_test(ready, test_split, "keep", "mine.jsonl")
    assert kept.rows == [leaked, fine] and len(kept.notes) == 1
    assert part_from_test(ReadySet([fine], [], []), test_split, "refuse", "mine.jsonl").rows == [fine]


def test_the_frame_is_what_stands_around_the_query(tmp_path):
    (tmp_path / "t.jinja").write_text("{# a note #}\nRewrite: <query> {{ query }} </query>\nPrompt:\n")
    frame = read_frame(Template(tmp_path / "t.jinja", needs=("query",)))
    assert frame == Frame("Rewrite: <query> ", " </query>\nPrompt:")


NEARLY = [
    ("the red fox is running in the snow at night", "a red fox runs in snow at night"),
    ("a dog on the grass", "a dog on grass"),
    ("a dоg on grass", "a dog on grass"),
    ("dogs on the grass", "a dog on grass"),
    ("собака бежит по траве.", "Собака бежит по траве"),
    ("le château de l'été", "le chateau de l'ete"),
]


@pytest.mark.parametrize(("query", "test"), NEARLY)
def test_other_forms_of_the_same_words_are_found(query, test):
    assert find_leaked([*OTHERS, query], [test]) == {query: test}


@pytest.mark.parametrize(
    ("query", "test"),
    [("a cat on grass", "a dog on grass"), ("a glass of wine", "a grass of wind"), ("кот спит", "собака бежит"),
     ("a ring on a king", "a red on a kid"), ("a boat by the sea", "an old mill in the rain")],
)  # fmt: skip
def test_other_scenes_in_the_same_frame_are_not(query, test):
    assert find_leaked([query], [test]) == {}
