import csv
import json

import pytest

from pipeline.evaluation.prompt_sources import (
    StoredPrompts,
    arm_messages,
    ask_llm,
    copy_prompts,
    copy_queries,
    drop_untrained,
    list_records,
    make_rollout,
    read_prompt_file,
    read_stored_prompts,
    take_from_file,
)
from pipeline.llm.template import Template
from pipeline.runtime.io import DataError, write_rows
from schemas.base import Dropped, content_id
from schemas.fewshot import Fewshot
from schemas.params import FileArmParams
from schemas.reasons import Reason
from schemas.rollout import Rollout
from schemas.seams import Outcome
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
    copied, unknown = copy_prompts(QUERIES[:2], StoredPrompts({}, {lost.input_id: lost}), "few", "test")
    assert (copied.input_id, copied.reason, copied.detail) == (f"{QUERIES[0].query_id}/0", "refused", "sorry")
    assert (unknown.reason, unknown.detail) == ("failed", "the source has no prompt for this query")
    assert (unknown.suite, unknown.arm) == ("test", "few")


def test_a_users_query_is_cleaned_as_the_stage_queries_cleans(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"query": "prompt:  a fox&amp;hound -ar 16:9", "prompt": "A fox\nruns."}) + "\n")
    assert read_prompt_file(path, "query", "prompt", keep_flags=False) == {content_id("a fox&hound"): "A fox\nruns."}


def test_a_files_prompts_are_cleaned_and_typed_as_those_of_every_model(tmp_path):
    path = tmp_path / "mine.csv"
    replies = ("<think>hm</think>**Video Prompt:** A fox\nruns.<|im_end|>", "I'm sorry, but I can't assist with that.")
    with path.open("w", newline="") as file:
        rows = zip((row.query for row in QUERIES), replies, strict=False)
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


def test_a_row_of_an_arm_is_the_query_with_its_prompt_and_every_value_that_it_was_given():
    row = QUERIES[1].model_copy(update={"safety": True})
    made = make_rollout(row, "A calm fox.", BY, arm="few", suite="hard", sample=2, duplicate_of=1)
    assert made == Rollout(
        query_id=row.query_id, query=row.query, split=row.split, safety=True, suite="hard", arm="few", sample=2,
        prompt="A calm fox.", prompt_id=content_id(row.query_id, "A calm fox."), written_by=BY, duplicate_of=1,
        loops=False, served="prompt", failure=None,
    )  # fmt: skip
    served = make_rollout(row, row.query, BY, arm="few", failure="truncated")
    assert (served.served, served.failure, served.suite, served.sample) == ("query", "truncated", None, 0)
    assert make_rollout(row, "a fox runs and " * 30, BY, arm="few").loops


def test_queries_of_an_arm_that_was_not_trained_are_all_dropped_with_the_reason():
    assert list(drop_untrained(QUERIES[:2], "no pairs", "dpo", "hard")) == [
        Dropped(input_id=f"{row.query_id}/0", reason=Reason.NOT_TRAINED, detail="no pairs", suite="hard", arm="dpo")
        for row in QUERIES[:2]
    ]


def test_of_several_stored_prompts_the_first_is_taken_and_what_was_dropped_is_read_where_it_is(tmp_path):
    path = tmp_path / "fewshot.jsonl"
    rows = [Fewshot(**prompt_fields(query=QUERIES[0].query, prompt=text, arm="fewshot", sample=sample))
            for sample, text in enumerate(("One.", "Two."))]  # fmt: skip
    write_rows(path, rows, Fewshot)
    assert read_stored_prompts(path) == StoredPrompts({rows[0].query_id: rows[0]}, {})
    lost = Dropped(input_id="q", reason=Reason.REFUSED, detail="sorry")
    write_rows(tmp_path / "fewshot_dropped.jsonl", [lost], Dropped)
    assert read_stored_prompts(path).dropped == {"q": lost}


def test_records_of_a_table_are_numbered_from_one_behind_its_head(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("query\tprompt\na\tA.\nb\tB.\n")
    assert list(list_records(path)) == [(1, {"query": "a", "prompt": "A."}), (2, {"query": "b", "prompt": "B."})]


def test_a_file_may_say_the_same_prompt_twice_and_a_column_of_its_own_name_wins(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"Query": "no", "query": "a fox", "prompt": "One."}\n{" QUERY ": "a fox", "Prompt": "One. "}\n')
    assert read_prompt_file(path, "query", "prompt", keep_flags=False) == {content_id("a fox"): "One."}


@pytest.mark.parametrize(
    "record", [{"query": " ", "prompt": "A."}, {"query": "a", "prompt": ""}, {"query": 1, "prompt": "A."}]
)
def test_an_empty_text_is_none(tmp_path, record):
    (tmp_path / "mine.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(DataError, match="record 1: expected texts in query and prompt"):
        read_prompt_file(tmp_path / "mine.jsonl", "query", "prompt", keep_flags=False)


def test_flags_make_another_query_only_where_they_are_kept(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"query": "a fox -ar 16:9", "prompt": "A."}))
    assert [*read_prompt_file(path, "query", "prompt", keep_flags=True)] == [content_id("a fox -ar 16:9")]


class Writer:
    """An LLM that writes what it was asked, and refuses what speaks of a lake; it keeps what it was handed."""

    def map(self, requests, parse, template=None, sample=0):
        for messages in requests:
            self.handed = (template, sample, messages)
            if "a lake" in messages[0]["content"]:
                yield Outcome(reason=Reason.REFUSED, detail="sorry")
            else:
                yield Outcome(value="A calm fox.", by=BY)


def test_an_llm_of_an_arm_gets_query_and_examples_in_the_arms_own_template(root):
    template = Template(root / "pipeline/templates/fewshot.jinja")
    exemplars = [{"query": "a seal", "prompt": "A seal naps."}]
    rows = [QUERIES[0].model_copy(update={"query": text}) for text in ("a red fox", "a lake")]
    teacher = Writer()
    written, refused = ask_llm(rows, teacher, template, exemplars, "llm", "hard")
    assert (written.prompt, written.written_by, written.arm, written.suite) == ("A calm fox.", BY, "llm", "hard")
    assert refused == Dropped(
        input_id=f"{rows[1].query_id}/0", reason=Reason.REFUSED, detail="sorry", suite="hard", arm="llm"
    )
    (message,) = arm_messages(template, exemplars)(rows[0])
    assert message["role"] == "user" and "a red fox" in message["content"] and "A seal naps." in message["content"]
    assert teacher.handed[0] == template.hash
