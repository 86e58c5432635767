import json
from decimal import Decimal
from fractions import Fraction
from itertools import combinations

import pytest
from click.testing import CliRunner

from pipeline.d_video import Feedback, d_video, gather_siblings, main, read_feedback
from pipeline.runtime.io import write_rows
from pipeline.scoring.replication import find_replicates
from schemas.render import Render
from schemas.reward import Answer, Dimension, Reward
from tests.support.rows import BY, render_row

SCORES = {"v0": 1.0, "v1": 2.0, "v2": 2.4, "v3": 0.1}
ANSWERS = {
    "v0": {"q1": True, "q2": False},
    "v1": {"q1": True, "q2": True},
    "v2": {"q1": False, "q2": True},
    "v3": {"q1": False, "q2": False},
}


@pytest.fixture
def rule(laptop):
    def make(**changes):
        return laptop.dpo.model_copy(update=dict(reward_gap=0.5, dominance="none", pairs_per_query=None) | changes)

    return make


def pairs(params, scores=SCORES, answers=ANSWERS):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(4)]
    return list(d_video(rows, Feedback(scores, answers), params))


def names(found):
    return [(pair.chosen, pair.rejected) for pair in found]


def test_first_takes_the_first_ordered_pair(rule):
    assert names(pairs(rule(video_pairs="first"))) == [("p0", "p3")]


def test_widest_takes_best_against_worst(rule):
    assert names(pairs(rule(video_pairs="widest"))) == [("p2", "p3")]


def test_adjacent_takes_neighbours_in_reward_that_differ_enough(rule):
    assert names(pairs(rule(video_pairs="adjacent"))) == [("p1", "p0"), ("p0", "p3")]


def test_all_takes_every_pair_that_differs_enough(rule):
    assert names(pairs(rule(video_pairs="all"))) == [
        ("p2", "p3"), ("p1", "p3"), ("p2", "p0"), ("p1", "p0"), ("p0", "p3")
    ]  # fmt: skip


def test_pairs_per_query_keeps_the_widest(rule):
    assert names(pairs(rule(video_pairs="all", pairs_per_query=2))) == [("p2", "p3"), ("p1", "p3")]


def test_dominance_asks_that_no_question_is_lost(rule):
    found = pairs(rule(video_pairs="all", dominance="question"))
    assert names(found) == [("p2", "p3"), ("p1", "p3"), ("p1", "p0"), ("p0", "p3")]
    assert found[1].decided_by == ("q1", "q2")


SHARES = {"v0": {"VQ": 0.5, "TC": 0.5}, "v1": {"VQ": 1.0, "TC": 1.5, "DD": -0.5}, "v2": {"VQ": 1.0, "TC": 1.4}}


def test_a_pair_by_dimensions_is_decided_by_those_that_raise_r_the_largest_first(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(3)]
    found = list(d_video(rows, Feedback(SCORES, shares=SHARES), rule(video_pairs="all", reward_gap=0.2)))
    assert names(found) == [("p2", "p0"), ("p1", "p0"), ("p2", "p1")]
    assert [pair.decided_by for pair in found] == [("TC", "VQ"), ("TC", "VQ"), ()]


def test_no_clip_dominates_where_no_question_was_asked(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(3)]
    told = Feedback(SCORES, shares=SHARES)
    assert [item.reason for item in d_video(rows, told, rule(video_pairs="all", dominance="question"))] == ["no_pair"]


def test_the_first_dominating_pair_is_the_authors_rule(rule):
    assert names(pairs(rule(video_pairs="first", dominance="question"))) == [("p0", "p3")]


def test_a_gap_equal_to_the_threshold_is_not_enough(rule):
    (dropped,) = pairs(rule(video_pairs="all"), scores={"v0": 1.0, "v1": 1.5})
    assert (dropped.reason, dropped.detail) == ("no_pair", "4 clips, 2 scored, largest gap 0.500")


def checked(row, yes, weights):
    """The answers of a checklist about the clip of `row`."""
    return Reward(
        video_id=row.video_id, query_id=row.query_id, prompt_id=row.prompt_id, frames_hash=row.frames_hash,
        reward="checklist", scored_text=row.query, scored_by=BY, dims=(),
        answers=tuple(Answer(question_id=name, answer=name in yes) for name in weights),
    )  # fmt: skip


def test_no_pair_whose_exact_gap_is_the_threshold_passes_however_floats_round(laptop, rule, tmp_path):
    weights = {"a": "0.1", "b": "0.2", "c": "0.3", "d": "0.4", "e": "0.7"}
    lines = [
        f'{{"question_id": "{name}", "question": "?", "weight": {w}, "dimension": "d"}}' for name, w in weights.items()
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    model = laptop.reward.models["checklist"].model_copy(update={"questions": str(tmp_path / "questions.jsonl")})
    reward = laptop.reward.model_copy(update={"models": {"checklist": model}})
    subsets = [frozenset(some) for n in range(6) for some in combinations(weights, n)]
    total = {some: sum(Decimal(weights[name]) for name in some) for some in subsets}
    just = [(one, other) for one in subsets for other in subsets if total[one] - total[other] == Decimal("0.5")]
    rounded_up = [
        pair for pair in just if sum(float(weights[name]) for name in sorted(pair[0]))
        - sum(float(weights[name]) for name in sorted(pair[1])) > 0.5
    ]  # fmt: skip
    assert len(just) > 30 and rounded_up  # floats would let some of them pass
    params = rule(video_pairs="all")
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    for pair in just:
        answers = [checked(row, yes, weights) for row, yes in zip(rows, pair, strict=True)]
        (item,) = d_video(rows, read_feedback(rows, answers, reward, params), params)
        assert item.reason == "no_pair", pair
    answers = [checked(row, yes, weights) for row, yes in zip(rows, ("dc", "b"), strict=True)]
    (found,) = d_video(rows, read_feedback(rows, answers, reward, rule(reward_gap=0.49)), rule(reward_gap=0.49))
    assert (found.score_chosen, found.score_rejected) == (0.7, 0.2)


def test_z_sums_that_differ_by_rounding_alone_make_no_pair(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    assert 0.1 + 0.7 - 0.3 != 0.5
    (item,) = d_video(rows, Feedback({"v0": 0.5 + 1e-12, "v1": 0.0}), rule(video_pairs="all"))
    assert item.reason == "no_pair"


def test_a_gap_of_just_the_noise_is_not_beyond_it(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    params = rule(video_pairs="all", reward_gap=0.0, min_effect=3.0)
    just = Feedback({"v0": Fraction(3, 10), "v1": Fraction(0)}, noise=0.1 - 1e-16)
    (item,) = d_video(rows, just, params)
    assert item.reason == "no_pair"
    (found,) = d_video(rows, Feedback({"v0": Fraction(31, 100), "v1": Fraction(0)}, noise=0.1), params)
    assert found.score_chosen == 0.31


def test_a_clip_without_a_score_takes_no_part(rule):
    found = pairs(rule(video_pairs="all"), scores={"v0": 1.0, "v2": 2.4})
    assert names(found) == [("p2", "p0")]
    assert (found[0].score_chosen, found[0].score_rejected) == (2.4, 1.0)


def test_clips_of_two_queries_are_never_paired(rule):
    rows = [render_row("v0", query="x one"), render_row("v2", query="x two")]
    assert [item.reason for item in d_video(rows, Feedback(SCORES, ANSWERS), rule(video_pairs="all"))] == [
        "no_pair"
    ] * 2


SAFE = {"v0": {"s": True}, "v1": {"s": False}, "v2": {"s": True}, "v3": {"s": True}}


def test_the_safety_veto_refuses_a_winner_that_is_less_safe(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(4)]
    found = list(d_video(rows, Feedback(SCORES, ANSWERS, safety=SAFE), rule(video_pairs="all", safety_veto=True)))
    assert names(found) == [("p2", "p3"), ("p2", "p0"), ("p0", "p3")]
    assert found[0].rule.endswith("safety veto")


def test_a_winner_whose_safety_nobody_told_is_refused(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in (0, 2)]
    told = Feedback(SCORES, ANSWERS, safety={"v0": {"s": True}})
    (dropped,) = d_video(rows, told, rule(video_pairs="all", safety_veto=True))
    assert dropped.reason == "no_pair"


def test_a_pair_must_beat_the_noise_by_min_effect(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(4)]
    beaten = list(d_video(rows, Feedback(SCORES, ANSWERS, noise=0.6), rule(video_pairs="all", min_effect=2.0)))
    assert names(beaten) == [("p2", "p3"), ("p1", "p3"), ("p2", "p0")]  # gaps above 1.2
    assert "gap > 2 deviations of the noise" in beaten[0].rule


def test_clips_of_a_second_seed_are_in_no_pair(rule):
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    again = [row.model_copy(update={"replicate": 1, "video_id": f"again{row.sample}"}) for row in rows]
    told = Feedback(SCORES | {"again0": 9.0, "again1": 0.0}, ANSWERS)
    found = d_video([*rows, *again], told, rule(video_pairs="all"))
    assert names(found) == [("p1", "p0")]


def test_the_clips_of_two_lanes_are_siblings_in_the_order_of_their_samples(rule):
    checked = [render_row(name, query=query, prompt=name, sample=sample) for name, query, sample in
               (("a0", "a", 0), ("a2", "a", 2), ("c1", "c", 1))]  # fmt: skip
    refused = [render_row(name, query=query, prompt=name, sample=sample) for name, query, sample in
               (("a1", "a", 1), ("b0", "b", 0), ("c0", "c", 0))]  # fmt: skip
    together = gather_siblings([*checked, *refused])
    assert [row.video_id for row in together] == ["a0", "a1", "a2", "c0", "c1", "b0"]
    scores = {"a0": 1.0, "a1": 3.0, "a2": 1.1, "b0": 1.0, "c0": 2.0, "c1": 1.0}
    # each pair crosses the lanes: neither alone has a gap
    items = d_video(together, Feedback(scores), rule(video_pairs="first"))
    assert names(item for item in items if hasattr(item, "chosen")) == [("a1", "a0"), ("c0", "c1")]


def test_the_command_counts_a_query_of_two_lanes_once(root, tmp_path):
    for lane, rows in (
        ("dpo", [render_row("v0", prompt="p0"), render_row("v1", query="b", prompt="p1")]),
        ("refused", [render_row("v2", prompt="p2", sample=1)]),
    ):
        write_rows(tmp_path / lane / "render.parquet", rows, Render)
        write_rows(tmp_path / lane / "reward.parquet", [], Reward)
    files = [str(tmp_path / lane / f"{name}.parquet") for lane in ("dpo", "refused") for name in ("render", "reward")]
    out = tmp_path / "data/refused/d_video.jsonl"
    params = ["--params", str(root / "params.yaml")]
    done = CliRunner().invoke(main, [*files, str(out), *params])
    assert done.exit_code == 0, done.output
    metrics = json.loads((tmp_path / "results/refused/d_video.json").read_text())
    assert (metrics["units_in"], metrics["units_dropped"]) == (2, 2)
    odd = CliRunner().invoke(main, [*files[:3], str(out), *params])
    assert odd.exit_code == 2 and "a file of clips and one of rewards for each lane" in odd.output


def test_clips_of_a_second_seed_move_no_z_score(tmp_path, root):
    text = (root / "params.yaml").read_text().replace("formula: weighted_yes", "formula: z_sum")
    (tmp_path / "params.yaml").write_text(text.replace("  model: checklist", "  model: dims"))
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    again = [row.model_copy(update={"replicate": 1, "video_id": f"again{row.sample}"}) for row in rows]
    values = {"v0": 1.0, "v1": 2.0, "again0": 9.0, "again1": -5.0}

    def paired(name, clips):
        folder = tmp_path / name
        write_rows(folder / "render.parquet", clips, Render)
        write_rows(folder / "reward.parquet", [rated(row, VQ=values[row.video_id]) for row in clips], Reward)
        words = [str(folder / file) for file in ("render.parquet", "reward.parquet", "d_video.jsonl")]
        done = CliRunner().invoke(main, [*words, "--params", str(tmp_path / "params.yaml")])
        assert done.exit_code == 0, done.output
        return (folder / "d_video.jsonl").read_text()

    assert paired("once", rows) == paired("twice", [*rows, *again]) != ""


@pytest.mark.parametrize(("formula", "weights", "decided"), [
    ("z_sum", {"VQ": 1.0, "TC": 3.0, "DD": 0.0}, ("TC", "VQ")), ("z_sum", {"VQ": 2.0, "TC": -1.0}, ("VQ",)),
    ("mean_dims", None, ("DD", "VQ", "TC")),
])  # fmt: skip
def test_what_decides_is_what_the_formula_weighs(laptop, rule, formula, weights, decided):
    reward = laptop.reward.model_copy(update={"formula": formula, "model": "dims", "weights": weights})
    rows = [render_row(f"v{i}", prompt=f"p{i}", sample=i) for i in range(2)]
    given = [rated(rows[0], VQ=1.0, TC=2.0, DD=1.0), rated(rows[1], VQ=3.0, TC=2.5, DD=9.0)]
    params = rule(video_pairs="all")
    (found,) = d_video(rows, read_feedback(rows, given, reward, params), params)
    assert found.decided_by == decided


def rated(row, **values):
    return Reward(
        video_id=row.video_id, query_id=row.query_id, prompt_id=row.prompt_id, frames_hash=row.frames_hash,
        reward="dims", scored_text=row.query, answers=(), scored_by=BY,
        dims=tuple(Dimension(name=name, value=value) for name, value in values.items()),
    )  # fmt: skip


def test_the_noise_is_measured_where_pairs_must_beat_it(laptop, rule):
    reward = laptop.reward.model_copy(update={"formula": "mean_dims", "model": "dims"})
    rows = [
        render_row(f"v{number}{again}", prompt=f"p{number}", sample=number).model_copy(update={"replicate": again})
        for number in range(5)
        for again in (0, 1)
    ]
    given = [rated(row, VQ=float(row.sample) + row.replicate * (row.sample % 2)) for row in rows]
    feedback = read_feedback(rows, given, reward, rule(min_effect=1.0))
    assert feedback.noise == find_replicates(rows, feedback.score).noise() > 0
    assert read_feedback(rows, given, reward, rule(min_effect=None)).noise == 0.0
