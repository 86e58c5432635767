import json
from pathlib import Path

import pytest

from pipeline.llm.template import Template
from pipeline.runtime.io import read_rows
from pipeline.runtime.params_file import load_params
from schemas.d_dpo import DDpo
from schemas.d_sft import DSft
from tests.support.gpu_plans import rows, write
from tests.support.small_project import ROOT
from vpo.planning.gpu_train import chance, pairs_of

pytestmark = pytest.mark.slow


HUB_BASE = {"backend": "hub", "vocab_size": None, "hidden_size": None, "num_hidden_layers": None,
            "num_attention_heads": None, "steps": None, "batch_size": None, "learning_rate": None}  # fmt: skip


def instruction(query):
    return Template(ROOT / "pipeline/templates/optimize.jinja").fill(query=query)


def test_tokens_are_counted_from_the_rows(unrendered):
    found = rows()
    sft = list(read_rows("data/sft/d_sft.jsonl", DSft))
    characters = sum(len(instruction(row.query)) + len(row.prompt) for row in sft)
    assert found["sft"].wanted == pytest.approx(5 * characters / 4)
    pairs = list(read_rows("data/dpo/d_dpo.jsonl", DDpo))
    characters = sum(2 * len(instruction(row.query)) + len(row.chosen) + len(row.rejected) for row in pairs)
    assert found["dpo"].wanted == pytest.approx(characters / 4)


def test_steps_that_are_told_count_before_epochs(unrendered):
    write(sft={"max_steps": 10, "global_batch_size": 4})
    sft = list(read_rows("data/sft/d_sft.jsonl", DSft))
    each = sum(len(instruction(row.query)) + len(row.prompt) for row in sft) / 4 / len(sft)
    assert rows()["sft"].wanted == pytest.approx(40 * each)


def test_a_model_of_the_same_rows_is_not_trained_again(unrendered):
    from schemas.base import content_id

    told = content_id([row.model_dump(mode="json") for row in read_rows("data/sft/d_sft.jsonl", DSft)])
    Path("data/models/sft").mkdir(parents=True)
    Path("data/models/sft/model.json").write_text(json.dumps({"d_sft": told}))
    assert rows()["sft"].to_make == 0 < rows()["dpo"].to_make
    assert rows(changed={"sft"})["sft"].to_make > 0


def test_pairs_to_come_are_bounded(unrendered):
    """Eight rollouts of four queries, K = 2: 35 % are flawed, and a query whose two both pass can make a pair."""
    Path("data/dpo/d_dpo.jsonl").unlink()
    write(rollout={"k": 2})
    text, video = 8 * 0.35, 4 * 0.65**2
    row = rows(changed={"sft"})["dpo"]
    (each,) = (float(note.split()[0]) for note in row.notes if "tokens a row" in note)
    assert row.wanted / each == pytest.approx(text + video, rel=0.01)


def test_an_arm_of_all_rollouts_may_pair_what_the_text_check_refuses(unrendered):
    """The same eight rollouts: each query of two can make a pair, whatever the verdicts, and none of text."""
    write(rollout={"k": 2})
    planned = rows(changed={"sft"})
    for arm, pairs in (("dpo_no_text", 4), ("dpo_video_only", 4 * 0.65**2)):
        row = planned[f"dpo_arm@{arm}"]
        (each,) = (float(note.split()[0]) for note in row.notes if "tokens a row" in note)
        assert row.wanted / each == pytest.approx(pairs, rel=0.01), arm


@pytest.mark.parametrize(
    ("changes", "flawed", "passed", "pairs"),
    [
        ({}, 1, 3, 1 + 2),  # adjacent, both, no limit
        ({"video_pairs": "all"}, 0, 4, 6),
        ({"video_pairs": "first"}, 0, 4, 1),
        ({"video_pairs": "first"}, 3, 1, 3),
        ({"when_both": "text"}, 1, 3, 1),
        ({"when_both": "video"}, 1, 3, 2),
        ({"pairs_per_query": 1}, 2, 2, 1 + 1),
        ({"pairs_per_query": 1, "when_both": "text", "video_pairs": "first"}, 2, 2, 1),
    ],
)
def test_a_query_has_no_more_pairs_than_the_rules_allow(laptop, changes, flawed, passed, pairs):
    assert pairs_of(laptop.dpo.model_copy(update=changes), flawed, passed) == pairs


def test_every_number_of_flawed_prompts_has_its_chance():
    assert [chance(2, flawed, 0.35) for flawed in range(3)] == pytest.approx([0.4225, 0.455, 0.1225])


@pytest.mark.slow
def test_the_weights_of_a_base_model_are_counted_by_its_config(unrendered):
    from transformers import LlamaConfig

    from train.capacity import count_parameters, estimate_bytes

    LlamaConfig(vocab_size=500, hidden_size=32, num_hidden_layers=1, num_attention_heads=2).save_pretrained("base")
    write(base_model=HUB_BASE | {"name": "base"}, sft={"bf16": True})
    row, n = rows()["sft"], count_parameters("base")
    assert row.gpu_hours == pytest.approx(row.wanted * 6 * n / (0.4 * 989e12) / 3600)
    sft = load_params("params.yaml").sft
    assert row.gpu_gigabytes == estimate_bytes(n, sft, sharded=False) / 1e9


def test_a_base_model_that_is_not_there_makes_training_unknown(unrendered):
    write(base_model=HUB_BASE | {"name": "owner/name", "revision": "0" * 40})
    row = rows()["sft"]
    assert row.gpu_hours is None and row.source.startswith("unknown: ") and row.gpu_gigabytes is None
