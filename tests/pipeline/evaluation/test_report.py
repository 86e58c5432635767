"""What a person reads of the evaluation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.evaluation.figures import Sheet
from pipeline.evaluation.report import (
    COUNTED_UNITS,
    HEADLINE,
    Report,
    choose_queries,
    label_rows,
    markdown,
    nest,
    pick_headline,
    tables,
    write_report,
)
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


UNITS = {name: number for number, name in enumerate(COUNTED_UNITS)} | {"failures": {"truncated": 3}, "dropped": {}}
WHOLE = Report(
    rows=[
        number("aligned", 0.5, 0.4, 0.6, None, arm="sft").model_copy(update={"n": 90}),
        number("aligned", 0.55, 0.45, 0.65, None).model_copy(update={"n": 90}),
        number("words", 41.234, 40, 42.5, None),
        number("aligned", -0.05, -0.09, -0.01).model_copy(update={"n": 90}),
        number("words", 1.5, -0.5, 3.0),
        number("aligned", 0.25, 0.0, 1.0, None).model_copy(update={"suite": "hard", "n": 90}),
    ],
    counts={"sft": UNITS | {"failures": {}}, "dpo": UNITS | {"dropped": {"rollout": {"refused": 2, "empty": 1}}}},
    written_by={"Judge": "j", "Policy": "p"}, offline=["judge", "policy"], warnings=["careful", "look"], resamples=123,
    losses=["one", "two"], shortcuts=["- a", "- b"],
)  # fmt: skip


def test_the_page_is_the_titles_sentences_and_tables_of_its_report():
    lines = markdown(WHOLE).split("\n")
    assert lines[:12] == [
        "# Arms compared on suite `test`, target `t`", "", "**What got worse.** one. two.", "",
        "Judge: j. Policy: p.", "",
        "**Offline world** (judge, policy): these figures show that the wiring works. They are not comparable with "
        "published ones.", "", "**Warning:** careful.", "", "**Warning:** look.", "",
    ]  # fmt: skip
    assert "over queries, 123 resamples]" in lines[12]
    assert lines[13:] == [
        "", "(!) fewer than 30 queries.", "",
        "| metric | sft | dpo |", "|---|---|---|",
        "| aligned | 50.0 [40.0, 60.0] n=90 | 55.0 [45.0, 65.0] n=90 |",
        "| words | - | 41.23 [40.00, 42.50] n=9 (!) |",
        "", "## Differences over the same queries", "",
        "Bold where the interval excludes 0. The interval says nothing of another training run.", "",
        "| metric | dpo - sft |", "|---|---|",
        "| aligned | **-5.0** [-9.0, -1.0] n=90 |",
        "| words | +1.50 [-0.50, +3.00] n=9 (!) |",
        "", "## What DPO's pairs can be told apart by", "", "- a", "- b",
        "", "## Where the units went", "",
        "| arm | queries | prompts | query_served | without_prompt | without_verdict | clips | without_score |",
        "|---|---|---|---|---|---|---|---|",
        "| sft | 0 | 1 | 2 | 3 | 4 | 5 | 6 |", "| dpo | 0 | 1 | 2 | 3 | 4 | 5 | 6 |",
        "", "dpo, the query served in place of a prompt: truncated 3.", "",
        "dpo, rollout dropped: refused 2, empty 1.", "",
    ]  # fmt: skip


def test_an_arm_of_another_suite_is_named_with_it_and_its_other_arm_too():
    rows = [number("reward", 1, 0, 2), number("reward", 1, 0, 2, "base").model_copy(update={"suite": "hard"})]
    rows += [number("reward", 1, 0, 2, None).model_copy(update={"suite": "hard"})]
    assert [(row.arm, row.versus) for row in label_rows(rows)] == [
        ("dpo", "sft"), ("dpo on hard", "base on hard"), ("dpo on hard", None),
    ]  # fmt: skip
    assert label_rows([]) == []


def test_the_headline_is_of_the_trained_arms_of_the_first_suite_and_else_of_the_last_two():
    def headline(*arms):
        metrics = [*HEADLINE, "words"]
        rows = [number(metric, 1, 0, 2, None, arm=arm) for arm in arms for metric in metrics]
        other = number("reward", 9, 8, 10, None, arm="dpo").model_copy(update={"suite": "hard"})
        return pick_headline([*rows, other])

    assert headline("base", "sft", "dpo") == {arm: dict.fromkeys(HEADLINE, 1.0) for arm in ("dpo", "sft")}
    assert [*headline("base", "sft")] == ["sft"] and [*headline("a", "b", "c")] == ["b", "c"]


@pytest.mark.slow  # it draws
def test_the_tables_are_written_one_a_metric_and_all_figures_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_report(Path("data/evaluate.jsonl"), WHOLE, Sheet([], {}, {}, Path("data/eval")))
    results = tmp_path / "results/evaluate"
    assert sorted(path.name for path in results.glob("*.csv")) == ["aligned.csv", "words.csv"]
    assert (results / "aligned.csv").read_text() == (
        "arm,value,low,high,n\nsft,0.5,0.4,0.6,90\ndpo,0.55,0.45,0.65,90\ndpo on hard,0.25,0.0,1.0,90\n"
    )
    whole = json.loads((results / "all.json").read_text())
    assert whole["counts"] == WHOLE.counts and whole["arms"]["dpo on hard"] == {"aligned": 0.25}
    assert whole["differences"] == {"dpo - sft": {"aligned": -0.05, "words": 1.5}}
    assert (tmp_path / "results/evaluate.md").read_text() == markdown(WHOLE)
    assert json.loads((tmp_path / "results/evaluate.json").read_text()) == {
        "dpo": {"aligned": 0.55}, "sft": {"aligned": 0.5},
    }  # fmt: skip
    assert capsys.readouterr().err.splitlines() == [f"warning: {text}" for text in ("one", "two", "careful", "look")]
