import csv
import json

import pytest

from pipeline.evaluation.prompt_sources import (
    StoredPrompts,
    copy_prompts,
    copy_queries,
    read_prompt_file,
    take_from_file,
)
from pipeline.runtime.io import DataError
from schemas.base import Dropped, content_id
from schemas.fewshot import Fewshot
from schemas.params import FileArmParams
from schemas.reasons import Reason
from tests.support import tiny_policy
from tests.support.rows import BY, prompt_fields

QUERIES = tiny_policy.queries()[:3]


def test_the_query_itself_is_an_arm():
    (row,) = copy_queries(QUERIES[:1], "original", "test")
    assert (row.prompt, row.suite, row.arm, row.sample) == (QUERIES[0].query, "test", "original", 0)
    assert row.written_by.backend == "query"


def test_a_stored_arm_takes_over_the_prompt_and_who_wrote_it():
    source = Fewshot(**prompt_fields(query=QUERIES[0].query, prompt="A calm fox.", arm="fewshot"))
    (row,) = copy_prompts(QUERIES[:1], StoredPrompts({source.query_id: source}, {}), "few")
    assert (row.prompt, row.arm, row.written_by, row.split) == ("A calm fox.", "few", BY, "dpo")


def test_a_query_that_the_source_dropped_has_the_sources_reason():
    lost = Dropped(input_id=QUERIES[0].query_id, reason=Reason.REFUSED, detail="sorry")
    known, unknown = copy_prompts(QUERIES[:2], StoredPrompts({}, {lost.input_id: lost}), "few", "test")
    assert (known.input_id, known.reason, known.detail) == (f"{QUERIES[0].query_id}/0", "refused", "sorry")
    assert (unknown.reason, unknown.detail) == ("failed", "the source has no prompt for this query")
    assert (unknown.suite, unknown.arm) == ("test", "few")


def test_a_users_query_is_cleaned_as_the_stage_queries_cleans(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"query": "prompt:  a fox&amp;hound -ar 16:9", "prompt": "A fox\nruns."}) + "\n")
    assert read_prompt_file(path, "query", "prompt", keep_flags=False) == {content_id("a fox&hound"): "A fox\nruns."}


def test_a_files_prompts_are_cleaned_and_typed_as_those_of_every_model(tmp_path):
    path = tmp_path / "mine.csv"
    said = ("<think>hm</think>**Video Prompt:** A fox\nruns.<|im_end|>", "I'm sorry, but I can't assist with that.")
    with path.open("w", newline="") as file:
        rows = zip((row.query for row in QUERIES), said, strict=False)
        csv.writer(file, delimiter=";").writerows([("Query ", "PROMPT"), *rows])
    params = FileArmParams(prompts="file", source=str(path))
    good, refused, missing = take_from_file(QUERIES, params, keep_flags=False, arm="mine", suite="test")
    assert (good.prompt, good.written_by.model) == ("A fox runs.", "mine.csv")
    assert (refused.reason, missing.reason) == ("refused", "failed")
    assert missing.detail == "mine.csv has no prompt for this query"


@pytest.mark.parametrize(("name", "text", "fault"), [
    ("mine.jsonl", "", "no records"),
    ("mine.jsonl", "[1]", "record 1: expected an object"),
    ("mine.jsonl", "{", "neither a JSON list nor one JSON object"),
    ("mine.txt", "a fox", "its name ends in .txt"),
    ("mine.csv", "", "no records"),
    ("mine.csv", 'query,prompt\n"a fox,One.', "broken CSV"),
    ("mine.jsonl", '{"query": "a fox"}', "record 1: expected texts in query and prompt"),
    ("mine.csv", "query,prompt\na fox,One.\na fox,Two.\n", "record 2: a second prompt"),
    ("mine.csv", "query;words\na fox;One.\n", "record 1: expected texts"),
])  # fmt: skip
def test_a_file_that_is_not_understood_is_refused_with_its_record(tmp_path, name, text, fault):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=fault):
        read_prompt_file(tmp_path / name, "query", "prompt", keep_flags=False)
