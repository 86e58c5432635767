import pytest

from pipeline.backends.renderer.facts import (
    COGVIDEOX_2B,
    COGVIDEOX_5B,
    COGVIDEOX_15_5B,
    MODELS,
    WAN_21_1B,
    WAN_21_14B,
    WAN_22_A14B,
    WAN_22_TI2V_5B,
    facts_of,
    find_facts,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("old, new", [("THUDM/CogVideoX-2b", "zai-org/CogVideoX-2b")])
def test_old_and_new_owner_are_the_same_model(old, new):
    assert find_facts(old) is find_facts(new) is find_facts("zai-org/cogvideox-2B") is COGVIDEOX_2B


def test_every_model_of_the_table_keeps_its_own_rules():
    for model, facts in MODELS.items():
        assert facts.height % facts.multiple_of == facts.width % facts.multiple_of == 0, model
        assert facts.n_frames % max(facts.frames_step, 1) == (1 if facts.frames_step > 1 else 0), model


@pytest.mark.parametrize("model", MODELS)
def test_every_pipeline_and_scheduler_of_the_table_is_in_diffusers(model):
    import diffusers

    facts = MODELS[model]
    assert hasattr(diffusers, facts.pipeline) and (facts.scheduler is None or hasattr(diffusers, facts.scheduler))


@pytest.mark.parametrize(
    "facts, config",
    [
        (COGVIDEOX_2B, {"_class_name": "CogVideoXPipeline", "num_attention_heads": 30}),
        (COGVIDEOX_5B, {"_class_name": "CogVideoXPipeline", "num_attention_heads": 48, "patch_size_t": None}),
        (COGVIDEOX_15_5B, {"_class_name": "CogVideoXPipeline", "num_attention_heads": 48, "patch_size_t": 2}),
        (COGVIDEOX_2B, {"_class_name": "CogVideoXPipeline", "num_attention_heads": 2}),
        (WAN_21_1B, {"_class_name": "WanPipeline", "num_attention_heads": 12}),
        (WAN_21_14B, {"_class_name": "WanPipeline", "num_attention_heads": 40}),
        (WAN_22_A14B, {"_class_name": "WanPipeline", "num_attention_heads": 40, "boundary_ratio": 0.875}),
        (WAN_22_TI2V_5B, {"_class_name": "WanPipeline", "num_attention_heads": 24, "expand_timesteps": True}),
    ],
)
def test_a_folder_is_known_by_its_configs(facts, config):
    assert facts_of("weights/mine", config) is facts
