import pytest

from tests.support import tiny_policy
from train.dpo import dpo
from train.preference_metrics import correlate, measure_by_source, sample_pairs, split_by_query

PAIRS = tiny_policy.d_dpo()
# TRL asks transformers by the old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def many(n):
    made = []
    for number in range(n):
        made += [PAIRS[0].model_copy(update={"query_id": f"q{number}", "pair_id": f"p{number}{s}", "source": s})
                 for s in ("text", "video")]  # fmt: skip
    return made


def test_a_query_is_whole_on_one_side_and_the_share_is_near_what_was_asked():
    pairs = many(2000)
    learnt, held = split_by_query(pairs, 0.1)
    assert sorted(learnt + held) == list(range(4000))
    assert not {pairs[i].query_id for i in learnt} & {pairs[i].query_id for i in held}
    assert 320 < len(held) < 480


def test_no_share_keeps_nothing_out_and_a_larger_one_keeps_out_what_a_smaller_did():
    pairs = many(200)
    assert split_by_query(pairs, 0.0) == (list(range(400)), [])
    assert set(split_by_query(pairs, 0.05)[1]) < set(split_by_query(pairs, 0.2)[1])


def test_what_is_measured_of_the_training_pairs_does_not_depend_on_their_order():
    pairs = many(300)
    picked = {pairs[i].pair_id for i in sample_pairs(pairs, 50)}
    assert len(picked) == 50 and {pairs[::-1][i].pair_id for i in sample_pairs(pairs[::-1], 50)} == picked


def test_the_measures_of_two_sources_by_hand():
    text, video = PAIRS[0], PAIRS[1].model_copy(update={"source": "video"})
    text = text.model_copy(update={"chosen_origin": "refined"})
    #            policy chosen, rejected, reference chosen, rejected
    measured = [(-10.0, -22.0, -12.0, -20.0), (-9.0, -9.0, -8.0, -10.0)]
    metrics = measure_by_source([text, video], measured, [(10, 8), (4, 5)], beta=0.1)
    assert metrics["text"] == {
        "pairs": 1, "margin": 0.4, "accuracy": 1.0, "chosen_log_prob_change": 2.0, "rejected_log_prob_change": -2.0,
        "kl_per_token": 2 / 8,  # the refined one was not written by the reference
        "tokens_chosen": 10, "tokens_rejected": 8, "margin_length_correlation": None,
    }  # fmt: skip
    assert (metrics["video"]["margin"], metrics["video"]["accuracy"]) == (-0.2, 0)
    assert metrics["video"]["kl_per_token"] == pytest.approx((1 / 4 - 1 / 5) / 2)


def test_a_margin_that_grows_with_length_correlates_with_it():
    assert correlate([1, 2, 3], [2, 4, 6]) == 1 and correlate([1, 2, 3], [3, 2, 1]) == -1
    assert correlate([1, 2], [5, 5]) is None


def test_a_trained_margin_shows_on_pairs_kept_out_by_plain_torch(tiny_params, tiny_model, tmp_path, vpo_home):
    import json
    from statistics import fmean

    from transformers import AutoModelForCausalLM

    from tests.support import train_reference as reference

    out = tmp_path / "data/models/dpo"
    values = {"held_out_share": 0.3, "learning_rate": 1e-3, "warmup_steps": 0, "precompute_ref_log_probs": False}
    params = tiny_policy.params(tiny_params, dpo_train=values | {"max_steps": 4, "num_train_epochs": 9})
    dpo(PAIRS, tiny_model, out, params)
    metrics = json.loads((tmp_path / "results/models/dpo.json").read_text())
    learnt, held = split_by_query(PAIRS, 0.3)
    assert (metrics["trained_on"]["text"]["pairs"], metrics["held_out"]["text"]["pairs"]) == (len(learnt), len(held))
    assert metrics["units_in"] == metrics["units_done"] == 10
    models = [AutoModelForCausalLM.from_pretrained(folder) for folder in (out, tiny_model)]
    tokenizer, template = reference.tokenizer_of(tiny_model), tiny_policy.template(params)
    margins, changes = [], []
    for pair in (PAIRS[i] for i in held):
        moved = []
        for text in (pair.chosen, pair.rejected):
            row = reference.encoded(tokenizer, template, pair.query, text)
            now, was = (reference.log_prob(model, *row).item() for model in models)
            moved.append(now - was)
        margins.append(params.dpo.train.beta * (moved[0] - moved[1]))
        changes.append(moved[0])
    assert metrics["held_out"]["text"]["margin"] == pytest.approx(fmean(margins), abs=1e-4)
    assert metrics["held_out"]["text"]["chosen_log_prob_change"] == pytest.approx(fmean(changes), abs=1e-4)
    assert metrics["held_out"]["text"]["margin"] > 0.05
    assert metrics["tokens_written"]["queries"] == len(held) and metrics["tokens_written"]["before"] > 0


def test_the_means_of_several_pairs_of_a_source_by_hand():
    pairs = [pair.model_copy(update={"source": "video", "chosen_origin": "refined"}) for pair in PAIRS[:3]]
    # changes of chosen and rejected: (1, -1), (3, 1), (-2, 0)
    measured = [(1.0, -1.0, 0.0, 0.0), (4.0, 3.0, 1.0, 2.0), (-2.0, 5.0, 0.0, 5.0)]
    metrics = measure_by_source(pairs, measured, [(3, 2), (6, 5), (9, 4)], beta=0.5)["video"]
    assert metrics == {
        "pairs": 3, "margin": round((1 + 1 - 1) / 3, 6), "accuracy": round(2 / 3, 6),
        "chosen_log_prob_change": round(2 / 3, 6), "rejected_log_prob_change": 0.0,
        "kl_per_token": round((1 / 2 - 1 / 5 - 0) / 3, 6), "tokens_chosen": 6, "tokens_rejected": round(11 / 3, 3),
        "margin_length_correlation": correlate([1, 1, -1], [1, 1, 5]),
    }  # fmt: skip


def test_what_varies_not_at_all_correlates_with_nothing_and_r_has_three_digits():
    assert correlate([5, 5], [1, 2]) is None
    assert correlate([1, 2, 3, 4], [1, 3, 2, 5]) == 0.832


def test_fewer_pairs_than_are_sampled_are_all_sampled_in_order():
    assert sample_pairs(many(3), 50) == list(range(6))
    assert len(sample_pairs(many(300))) == 200
