"""Faults planted in a finished run's data: `vpo check` must name each one."""

import json

import pytest

from pipeline.runtime.io import read_rows, write_rows
from schemas.render import Render
from schemas.reward import Reward
from vpo.check import run_checks

pytestmark = pytest.mark.graph


def edit(path, change):
    """Rewrite a JSONL file through a function of its rows."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))


def swapped(rows):
    return [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]


def turned(rows, *names):
    """Give each row the values of the next row of another query."""
    values = [{name: row[name] for name in names} for row in rows]
    by_query = [row["query_id"] for row in rows]
    shift = next(n for n in range(1, len(rows)) if any(a != b for a, b in zip(by_query, by_query[n:], strict=False)))
    return [row | values[(at + shift) % len(rows)] for at, row in enumerate(rows)]


def swap_video(data):
    edit(
        data / "dpo/d_video.jsonl",
        lambda rows: [
            row | {"chosen_id": row["rejected_id"], "rejected_id": row["chosen_id"]} for row in swapped(rows)
        ],
    )


def swap_text(data):
    edit(data / "dpo/d_text.jsonl", swapped)


def wrong_query(data):
    edit(data / "dpo/d_text.jsonl", lambda rows: turned(rows, "query_id", "query"))


def no_text(data):
    edit(data / "dpo/d_dpo.jsonl", lambda rows: [row for row in rows if row["source"] == "video"])


def test_queries_trained(data):
    asked = json.loads((data / "queries/test.jsonl").read_text().splitlines()[0])
    edit(
        data / "sft/d_sft.jsonl",
        lambda rows: [*rows, rows[0] | {"query_id": asked["query_id"], "query": asked["query"]}],
    )


def fewshot_as_rollouts(data):
    by = json.loads((data / "sft/fewshot.jsonl").read_text().splitlines()[0])["written_by"]
    edit(data / "dpo/rollout.jsonl", lambda rows: [row | {"written_by": by} for row in rows])


def another_model(data):
    edit(
        data / "dpo/rollout.jsonl",
        lambda rows: [row | {"written_by": row["written_by"] | {"revision": "0" * 16}} for row in rows],
    )


def reward_of_another_clip(data):
    path = data / "dpo/reward.parquet"
    rows = list(read_rows(path, Reward))
    last = [rows[-1], *rows[:-1]]
    write_rows(
        path,
        [row.model_copy(update={"frames_hash": other.frames_hash}) for row, other in zip(rows, last, strict=True)],
        Reward,
    )


def scores_of_another_clip(data):
    edit(data / "dpo/d_video.jsonl", lambda rows: [row | {"score_chosen": row["score_chosen"] + 0.25} for row in rows])


def flawed_prompts_paired(data):
    edit(data / "dpo/critique.jsonl", lambda rows: [row | {"aligned": False, "violated": ["accurate"]} for row in rows])


def seed_by_sample(data):
    path = data / "dpo/render.parquet"
    rows = [row.model_copy(update={"seed": row.seed + row.sample}) for row in read_rows(path, Render)]
    write_rows(path, rows, Render)


def flawed_prompt_kept(data):
    edit(data / "sft/d_sft.jsonl", lambda rows: [row | {"prompt": row["query"]} for row in rows])


def query_lost(data):
    edit(data / "eval/test/dpo/rollout.jsonl", lambda rows: rows[1:])


def same_weights(data):
    by = json.loads((data / "eval/test/sft/rollout.jsonl").read_text().splitlines()[0])["written_by"]
    edit(data / "eval/test/dpo/rollout.jsonl", lambda rows: [row | {"written_by": by} for row in rows])


def marker_in_prompt(data):
    edit(data / "dpo/rollout.jsonl", lambda rows: [row | {"prompt": row["prompt"] + " <|eot_id|>"} for row in rows])


def passed_prompts_in_the_unchecked_lane(data):
    edit(data / "dpo/critique.jsonl", lambda rows: [row | {"aligned": True, "violated": []} for row in rows])


def all_rollouts_with_other_scores(data):
    edit(
        data / "dpo_unchecked/d_video.jsonl",
        lambda rows: [row | {"score_rejected": row["score_rejected"] - 0.25} for row in rows],
    )


def an_arm_with_the_pairs_of_another(data):
    pairs = (data / "dpo_unchecked/d_video.jsonl").read_text()
    (data / "dpo/arms/dpo_video_only/d_dpo.jsonl").write_text(pairs)


FAULTS = {
    passed_prompts_in_the_unchecked_lane: "the unchecked lane renders what the text check refused",
    all_rollouts_with_other_scores: "a pair of all rollouts has the scores of its prompts' own clips",
    an_arm_with_the_pairs_of_another: "D_dpo holds pairs of its own D_text and D_video alone",
    swap_video: "a video pair's scores are those of its prompts' own clips",
    swap_text: "a text pair is p_refined over p of its own query",
    wrong_query: "a text pair is p_refined over p of its own query",
    no_text: "text feedback that was made is used",
    test_queries_trained: "no test query is trained on",
    fewshot_as_rollouts: "rollouts are not few-shot rows",
    another_model: "rollouts were written by the SFT model",
    reward_of_another_clip: "a reward is of the clip it names",
    scores_of_another_clip: "a video pair's scores are those of its prompts' own clips",
    flawed_prompts_paired: "a video pair's prompts both passed the text check",
    seed_by_sample: "sibling prompts share their noise",
    flawed_prompt_kept: "D_SFT keeps what was aligned and refines what was not",
    query_lost: "every arm met every test query",
    same_weights: "trained arms have weights of their own",
    marker_in_prompt: "prompts hold no marker and no chat token",
}
test_queries_trained.__test__ = False


def test_a_sound_run_breaks_no_check(project, monkeypatch):
    monkeypatch.chdir(project.path)
    assert {name: rows for name, rows in run_checks(project.path).items() if rows} == {}


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_named(copy, monkeypatch, plant):
    monkeypatch.chdir(copy.path)
    plant(copy.path / "data")
    assert run_checks(copy.path)[FAULTS[plant]]
