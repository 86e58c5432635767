"""The stage as a function: rows in, splits out, and a reason for each that leaves."""

from collections import Counter

import numpy as np
import polars as pl
import pytest

from pipeline.curation.benchmarks import read_benchmarks
from pipeline.curation.bleu import GUARD
from pipeline.curation.rules import RAW_PER_CHARACTER
from pipeline.curation.sources import Raw, join_frames, read_frames, to_frame
from pipeline.curation.split import NEAR
from pipeline.llm.template import Template
from pipeline.queries import queries
from pipeline.text.clean import clean, tokens
from schemas.base import content_id
from schemas.params import SemanticParams
from schemas.queries import Query, QueryDropped
from schemas.reasons import Reason
from schemas.seams import Outcome, Unparsed
from tests.support.few_queries import NONE_SAFE, SMALL, UNLIKE
from tests.support.sim import sim


class Judge:
    """Says yes to blood, refuses poison, mumbles over fog; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def map(self, asked, parse, template=None, sample=0):
        for messages in asked:
            text = messages[-1]["content"].split("<query>")[1].split("</query>")[0].strip()
            self.asked.append(text)
            reply = "Unsafe (Yes or No): " + ("Yes" if "blood" in text else "No")
            reply = "I'm sorry, I can't help." if "poison" in text else "hm" if "fog" in text else reply
            try:
                yield Outcome(parse(reply))
            except Unparsed as fault:
                yield Outcome(reason=Reason.UNPARSED, detail=fault.detail)


@pytest.fixture
def run(laptop, root):
    """Run the stage over texts or Raws; return (rows, dropped by source_id, report, judge)."""

    def stage(raws, exemplars=(), lists=(), seed=0, embed=None, **changes):
        params = laptop.queries.model_copy(update=SMALL | changes)
        raws = [raw if isinstance(raw, Raw) else Raw(str(number), raw) for number, raw in enumerate(raws)]
        judge, template = Judge(), Template(root / params.recheck_template)
        result = queries(
            [to_frame(raws)], judge, template, {"exemplar": exemplars} | dict(lists), params, seed, embed=embed
        )
        dropped = [QueryDropped(**record) for record in result.dropped.to_dicts()]
        assert len(result.rows) + len(dropped) == len(raws)
        return result.rows, {item.input_id: item for item in dropped}, result.report, judge

    return stage


def raws_of(params):
    return [Raw(**record) for record in join_frames(read_frames(params)).to_dicts()]


def test_a_row_says_where_it_comes_from(run):
    raw = Raw("u1", "prompt: a dog &amp; a cat -ar 16:9", "Sun Sep  3", 0.25)
    (row,), _, _, _ = run([raw])
    assert row == Query(
        query_id=content_id("a dog & a cat"), query="a dog & a cat", split="sft", safety=False, raw=raw.text,
        source="synthetic", source_id="u1", time="Sun Sep  3", unsafe_score=0.25,
    )  # fmt: skip


def test_a_query_that_means_the_same_leaves_after_all_that_words_tell(run):
    """The vector tells a dog from all else; a repeated row, and one like a benchmark's, are not asked about."""
    texts = ["a dog runs in deep snow", "A dog runs, in DEEP snow", "a puppy sprints over ice", "a red fox in rain"]
    embedded = []

    def embed(query_ids, get_texts):
        assert len(query_ids) == len(set(query_ids.tolist()))
        embedded.extend(get_texts(np.arange(len(query_ids))))
        return np.array([[1, 0] if "dog" in text or "puppy" in text else [0, 1] for text in embedded], np.float16)

    semantic = SemanticParams(model="m", revision=None, threshold=0.9)
    lists = {"b.txt": ["a red fox in rain"]}
    rows, dropped, report, _ = run(texts, lists=lists, embed=embed, semantic=semantic)
    assert embedded == [texts[0], texts[2]] and [row.source_id for row in rows] == ["0"]
    assert [dropped[name].reason for name in "123"] == [Reason.DUPLICATE, Reason.SIMILAR_MEANING, Reason.BENCHMARK]
    assert (dropped["2"].witness_id, dropped["2"].score, dropped["2"].detail) == (rows[0].query_id, 1.0, "to 0")
    assert report["semantic"] == {"rows": 2, "left": 1}
    rows, dropped, report, _ = run(texts, lists=lists)
    assert {row.source_id for row in rows} == {"0", "2"} and "semantic" not in report


def test_a_repeated_and_a_similar_query_name_the_kept_one(run):
    rows, dropped, _, _ = run(
        ["a red fox runs in deep snow", "A red fox, runs in DEEP snow!", "a red fox runs in deep snow today"]
    )
    assert [row.source_id for row in rows] == ["0"]
    assert (dropped["1"].reason, dropped["1"].score) == (Reason.DUPLICATE, 1.0)
    assert dropped["2"].reason == Reason.SIMILAR
    assert dropped["2"].score == pytest.approx(sim(tokens(rows[0].query), tokens(dropped["2"].raw)))
    assert dropped["1"].witness_id == dropped["2"].witness_id == rows[0].query_id


def test_unreadable_huge_and_ruled_out_rows_leave_with_their_reason(run):
    huge = "x" * 10_000_000
    rows, dropped, _, _ = run(
        [Raw("bad", fault="line 3: 1 fields"), Raw("huge", huge), Raw("nul", "a\x00\x00"), UNLIKE[0] + "\x00", "", "hi"]
    )
    assert [row.query for row in rows] == [UNLIKE[0]]
    reasons = {name: item.reason for name, item in dropped.items()}
    assert reasons == {
        "bad": Reason.UNREADABLE, "huge": Reason.TOO_LONG, "nul": Reason.TOO_SHORT, "4": Reason.EMPTY,
        "5": Reason.TOO_SHORT,
    }  # fmt: skip
    assert dropped["bad"].detail == "line 3: 1 fields"
    assert (dropped["huge"].raw, dropped["huge"].score) == (None, 10_000_000)


def test_a_text_of_entities_alone_may_be_longer_than_the_query(run, laptop):
    rows, _, _, _ = run(["&#100;&#111;&#103; " * 140], max_words=200)
    assert rows[0].query == clean("dog " * 140)
    assert RAW_PER_CHARACTER * laptop.queries.max_characters > len(rows[0].raw)


@pytest.mark.parametrize("text", ["a naked child in a room", "a dog in a room -neg naked child", "write to a@b.org"])
def test_what_may_not_be_kept_is_not_kept(run, text):
    _, dropped, _, judge = run([Raw("0", text, None, 0.9), UNLIKE[0]])
    assert judge.asked == []
    assert dropped["0"].reason in (Reason.PROHIBITED, Reason.PII)
    assert dropped["0"].raw is None
    assert len(dropped["0"].detail.split()[-1]) == 64
    assert "child" not in dropped["0"].model_dump_json()


def test_candidates_come_from_scores_and_words_and_the_teacher_decides(run):
    raws = [
        Raw("scored", "blood on the white wall here", None, 0.2),
        Raw("words", "a gun lies on the table", None, 0.1),
        Raw("alarm", "the happy bunny eats grass", None, 0.9),
        Raw("quiet", UNLIKE[0], None, 0.5),
    ]
    rows, dropped, report, judge = run(raws)
    assert dropped == {}
    assert {row.source_id: row.safety for row in rows} == {
        "scored": True, "words": False, "alarm": False, "quiet": False,
    }  # fmt: skip
    assert len(judge.asked) == 3
    counts = {name: report["recheck"][name] for name in ("candidates", "asked", "unsafe", "not_unsafe")}
    assert counts == {"candidates": 3, "asked": 3, "unsafe": 1, "not_unsafe": 2}


def test_a_candidate_without_an_answer_leaves_with_the_teacher_s_reason(run):
    _, dropped, _, _ = run(["the poison gun on a table", "a bomb in the fog", UNLIKE[0]])
    assert {name: item.reason for name, item in dropped.items()} == {"0": Reason.REFUSED, "1": Reason.UNPARSED}
    assert all(item.detail.startswith("safety re-check: ") for item in dropped.values())


def test_no_more_candidates_are_asked_about_than_the_splits_want(run):
    raws = [f"blood {text}" for text in UNLIKE] + [f"gun {text}" for text in UNLIKE]
    rows, dropped, _, judge = run(raws, max_similarity=1.0)
    assert sum(row.safety for row in rows) == 4
    assert len(judge.asked) == 16
    unasked = [item for item in dropped.values() if item.detail == "a safety candidate; enough others were judged"]
    assert len(unasked) == len(raws) - 16
    assert {item.reason for item in unasked} == {Reason.NOT_SAMPLED}


def test_a_judged_candidate_that_is_not_drawn_is_not_called_unjudged(run):
    raws = [f"gun {text}" for text in UNLIKE]
    _, dropped, report, _ = run(raws, max_similarity=1.0)
    assert report["recheck"]["not_unsafe"] == len(raws)
    assert {item.detail for item in dropped.values()} == {"the splits are full"}


def test_a_query_like_an_exemplar_s_is_in_no_split(run):
    rows, dropped, _, _ = run(["an old man reads a book now", UNLIKE[0]], exemplars=["an old man reads a book"])
    assert [row.query for row in rows] == [UNLIKE[0]]
    assert dropped["0"].reason == Reason.BENCHMARK
    assert dropped["0"].score > NEAR


def test_rows_stand_in_the_source_s_order_and_the_seed_draws_the_splits(run):
    rows, _, _, _ = run(UNLIKE, sft=4, dpo=4, test=4)
    again, _, _, _ = run(UNLIKE, sft=4, dpo=4, test=4)
    other, _, _, _ = run(UNLIKE, sft=4, dpo=4, test=4, seed=1)
    assert rows == again
    assert [row.source_id for row in rows] == [str(number) for number in range(12)]
    assert [row.split for row in rows] != [row.split for row in other]


def test_a_source_that_is_too_small_is_told(run):
    _, _, report, _ = run(UNLIKE[:6], sft=40, dpo=20, test=0, **NONE_SAFE)
    sft, dpo = (report["splits"][name]["general"] for name in ("sft", "dpo"))
    assert min(sft, dpo) >= 1 and sft + dpo == 6
    assert report["short"] == [f"sft has {sft} of 40 general queries", f"dpo has {dpo} of 20 general queries"]


@pytest.mark.slow
def test_real_queries_give_splits_without_near_duplicates(run, laptop, shared_data):
    params = laptop.queries.model_copy(
        update={"source": "file", "path": str(shared_data / "vidprom_queries.json"), "limit": 1500}
    )
    rows, dropped, report, _ = run(raws_of(params), sft=300, dpo=200, test=100)
    counted = Counter((row.split, row.safety) for row in rows)
    assert (counted["sft", False], counted["test", False]) == (300, 100)
    assert counted["sft", True] == 2
    texts = [(tokens(row.query), row.split) for row in rows]
    for number, (words, split) in enumerate(texts):
        for other, its in texts[:number]:
            assert split == its or not set(words) & set(other) or sim(words, other) < NEAR - GUARD
    assert report["self_bleu"]["after"] <= report["self_bleu"]["before"]


def test_what_resembles_a_listed_prompt_leaves_and_names_the_list(run):
    texts = ["an old man reads a book now", "a sexy boy is naked now", "a red fox in deep snow", UNLIKE[0]]
    lists = {"a.txt": ["an old man reads a book"], "b.txt": ["x y z", "a red fox in snow"]}
    rows, dropped, report, _ = run(texts, lists=lists)
    assert [row.query for row in rows] == [UNLIKE[0]]
    assert {name: (item.reason, item.detail) for name, item in dropped.items() if name != "1"} == {
        "0": (Reason.BENCHMARK, "a.txt: an old man reads a book"), "2": (Reason.BENCHMARK, "b.txt: a red fox in snow"),
    }  # fmt: skip
    assert report["leakage"]["found_before"] == {"exemplar": 0, "a.txt": 1, "b.txt": 1, "splits": 0}
    assert (report["leakage"]["benchmark"], report["leakage"]["splits"]) == (0, 0)


@pytest.mark.slow
def test_no_real_query_leaks_into_a_benchmark_or_another_split(run, laptop, shared_data):
    paths = [shared_data / "vbench" / "VBench_full_info.json", shared_data / "prompt_a_video_vbench_100.txt"]
    lists, _ = read_benchmarks(map(str, paths))
    source = {"source": "file", "path": str(shared_data / "vidprom_queries.json")}
    raws = pl.concat(read_frames(laptop.queries.model_copy(update=source)))
    raws = [Raw(*row) for row in raws.select("source_id", "text", "time", "unsafe_score", "fault").iter_rows()]
    rows, dropped, report, _ = run(raws, lists=lists, sft=60, dpo=40, test=40, max_words=160, max_characters=1200)
    leakage = report["leakage"]
    assert (leakage["benchmark"], leakage["splits"]) == (0, 0)
    # users did type VBench's prompts, most of them word for word
    listed = [row for row in dropped.values() if row.reason == Reason.BENCHMARK]
    assert len(listed) == leakage["found_before"]["VBench_full_info.json"] >= 40
    assert sum(row.score == 1 for row in listed) >= 25
    prompts = [tokens(prompt) for listed in lists.values() for prompt in listed]
    token_lists = [tokens(row.query) for row in rows]
    near = [(one, other) for one in token_lists for other in prompts if 3 * len(set(one) & set(other)) >= len(set(one))]
    assert near and not [pair for pair in near if sim(*pair) >= NEAR - GUARD]


def test_a_stratified_draw_turns_towards_what_is_asked_for(run):
    texts = [f"{'dog' if number % 10 == 0 else 'man'} {word}" for number, word in enumerate(unlike_words(200))]
    weights = {"content": {"animal": 9.0}}
    shares = {}
    for name, changes in {
        "uniform": {},
        "stratified": {"sample": "stratified", "sample_balance": 0.0, "sample_weights": weights},
    }.items():
        rows, _, report, _ = run(texts, sft=20, dpo=10, test=10, **NONE_SAFE, **changes)
        assert (len(rows), report["sample"]["by"]) == (40, name)
        shares[name] = report["sample"]["coverage"]["content"]["animal"]
        assert shares[name]["drawn"] == sum("dog" in row.query for row in rows) / 40
    assert shares["uniform"]["source"] == shares["stratified"]["source"] == 0.1
    assert shares["uniform"]["drawn"] < 0.3 < shares["stratified"]["drawn"]


def unlike_words(count):
    return [" ".join(f"{letter}{number}" for letter in "abcde") for number in range(count)]
