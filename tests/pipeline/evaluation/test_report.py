"""What a person reads of the evaluation."""

from dataclasses import replace

from pipeline.evaluation.report import COUNTED_UNITS, Report, choose_queries, markdown, nest, tables
from schemas.evaluate import Evaluate
from tests.support.rows import render_row
from tests.support.small_project import queries


def number(metric, value, low, high, versus="sft", arm="dpo"):
    return Evaluate(
        suite="test", target="t", arm=arm, versus=versus, metric=metric, value=value, low=low, high=high, n=9,
        seeds=1, judge="j",
    )  # fmt: skip


def test_a_difference_beyond_its_interval_is_bold():
    counts = dict.fromkeys(COUNTED_UNITS, 1) | {"failures": {"truncated": 3}}
    report = Report(
        rows=[number("aligned", 0.5, 0.4, 0.6, None), number("aligned", 0.05, 0.01, 0.09)],
        counts={"dpo": counts | {"dropped": {"rollout": {"refused": 2}}}},
        written_by={"Judge": "j"}, offline=[], warnings=[], resamples=100,
    )  # fmt: skip
    page = markdown(report)
    assert "| aligned | 50.0 [40.0, 60.0] n=9 (!) |" in page
    assert "| aligned | **+5.0** [+1.0, +9.0] n=9 (!) |" in page
    assert "dpo, rollout dropped: refused 2." in page
    assert "dpo, the query served in place of a prompt: truncated 3." in page
    assert "Offline world" not in page


def test_the_page_opens_with_what_got_worse():
    counts = {"dpo": dict.fromkeys(COUNTED_UNITS, 1) | {"failures": {}, "dropped": {}}}
    losses = ["dpo against sft: failed rises by 3.0 points [1.0, 5.0]"]
    report = Report([number("reward", 1, 0, 2)], counts, {}, [], ["careful"], 100, losses)
    title, empty, first, *_ = markdown(report).split("\n")
    assert title.startswith("# Arms compared") and first == f"**What got worse.** {losses[0]}."
    assert "What got worse" not in markdown(replace(report, losses=[]))


def test_a_metric_over_few_queries_is_marked():
    counts = {"dpo": dict.fromkeys(COUNTED_UNITS, 1) | {"failures": {}, "dropped": {}}}
    few = number("reward", 1, 0, 2, None).model_copy(update={"n": 29})
    enough = number("words", 1, 0, 2, None).model_copy(update={"n": 30})
    page = markdown(Report([few, enough], counts, {}, [], [], 100))
    assert "n=29 (!) |" in page and "n=30 |" in page and "(!) fewer than 30 queries." in page
    assert "(!)" not in markdown(Report([enough], counts, {}, [], [], 100))


def test_plain_values_and_differences_stand_apart_for_dvc_metrics():
    rows = [number("reward", 2.0, 1, 3, None), number("reward", 0.5, 0, 1)]
    assert nest(rows) == {"arms": {"dpo": {"reward": 2.0}}, "differences": {"dpo - sft": {"reward": 0.5}}}


def test_a_table_has_plain_values_alone():
    rows = [number("reward", 2.0, 1, 3, None), number("reward", 0.5, 0, 1), number("words", 9, 8, 10, None, arm="sft")]
    assert tables(rows) == {"reward": [("dpo", 2.0, 1.0, 3.0, 9)], "words": [("sft", 9.0, 8.0, 10.0, 9)]}


def test_queries_are_shown_that_every_arm_has_a_clip_of_and_that_are_general():
    test = queries("test")
    clips = [render_row(query=row.query).model_copy(update={"query_id": row.query_id}) for row in test]
    assert choose_queries(test, {"sft": clips, "dpo": clips[1:]}) == [row for row in test[1:] if not row.safety][:4]
    assert choose_queries(test, {}) == []
