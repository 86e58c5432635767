"""The table of video models, written a second time: a wrong figure would be rendered and paid for."""

from dataclasses import fields

import pytest

from pipeline.backends.renderer.facts import MODELS, Facts, facts_of, find_facts
from pipeline.runtime.io import DataError

COLUMNS = ("n_frames", "height", "width", "frames_per_second", "num_inference_steps", "guidance_scale",
           "max_sequence_length", "multiple_of", "frames_step", "most_frames", "dtype")  # fmt: skip
TABLE = {
    "zai-org/CogVideoX-2b": (49, 480, 720, 8, 50, 6.0, 226, 16, 8, 49, "float16"),
    "zai-org/CogVideoX-5b": (49, 480, 720, 8, 50, 6.0, 226, 16, 8, 49, "bfloat16"),
    "zai-org/CogVideoX1.5-5B": (81, 768, 1360, 16, 50, 6.0, 224, 16, 16, 161, "bfloat16"),
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": (81, 480, 832, 16, 50, 5.0, 512, 16, 4, None, "bfloat16"),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": (81, 720, 1280, 16, 50, 5.0, 512, 16, 4, None, "bfloat16"),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": (81, 720, 1280, 16, 40, 4.0, 512, 16, 4, None, "bfloat16"),
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": (121, 704, 1280, 24, 50, 5.0, 512, 32, 4, None, "bfloat16"),
    "hunyuanvideo-community/HunyuanVideo": (129, 720, 1280, 15, 50, 6.0, 256, 16, 4, None, "float16"),
    "Lightricks/LTX-Video": (161, 512, 704, 24, 50, 3.0, 128, 32, 8, None, "bfloat16"),
    "CompVis/stable-diffusion-v1-4": (1, 512, 512, 1, 50, 7.5, 77, 8, 0, None, "float16"),
}
COG = {"scheduler_config": {"timestep_spacing": "trailing"}, "vae_tiling": True, "vae_slicing": True}
WAN = {"scheduler": "UniPCMultistepScheduler", "dtypes": {"vae": "float32"}}
REST = {
    "zai-org/CogVideoX-2b": COG | {
        "scheduler": "CogVideoXDDIMScheduler", "use_dynamic_cfg": False, "size_by": {"num_attention_heads": 30},
        "gpu_gigabytes": {"sequential": 4, "model": 12.5}, "seconds_per_clip": {"A100": 90, "H100": 45}},
    "zai-org/CogVideoX-5b": COG | {
        "scheduler": "CogVideoXDPMScheduler", "use_dynamic_cfg": True,
        "size_by": {"num_attention_heads": 48, "patch_size_t": None},
        "gpu_gigabytes": {"sequential": 5, "model": 20.7}, "seconds_per_clip": {"A100": 180, "H100": 90}},
    "zai-org/CogVideoX1.5-5B": COG | {
        "scheduler": "CogVideoXDPMScheduler", "use_dynamic_cfg": True, "gpu_gigabytes": {"sequential": 10},
        "size_by": {"num_attention_heads": 48, "patch_size_t": 2}},
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": WAN | {
        "flow_shift": 3.0, "size_by": {"num_attention_heads": 12}, "gpu_gigabytes": {"sequential": 8.2}},
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": WAN | {
        "flow_shift": 5.0, "size_by": {"num_attention_heads": 40, "boundary_ratio": None}},
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": WAN | {
        "guidance_scale_2": 3.0, "offload": "model", "gpu_gigabytes": {"model": 80},
        "size_by": {"num_attention_heads": 40, "boundary_ratio": 0.875}},
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": WAN | {
        "flow_shift": 5.0, "size_by": {"num_attention_heads": 24, "expand_timesteps": True},
        "gpu_gigabytes": {"model": 24}},
    "hunyuanvideo-community/HunyuanVideo": {
        "dtypes": {"transformer": "bfloat16"}, "takes_negative_prompt": False, "vae_tiling": True, "offload": "model"},
    "Lightricks/LTX-Video": {},
    "CompVis/stable-diffusion-v1-4": {"safety_checker": True},
}  # fmt: skip
"""what differs from the defaults of Facts"""
DEFAULTS = {
    "most_frames": None, "scheduler": None, "scheduler_config": {}, "flow_shift": None, "guidance_scale_2": None,
    "dtypes": {}, "use_dynamic_cfg": None, "takes_negative_prompt": True, "safety_checker": False, "vae_tiling": False,
    "vae_slicing": False, "offload": "none", "size_by": {}, "gpu_gigabytes": {}, "seconds_per_clip": {},
}  # fmt: skip


@pytest.mark.parametrize("model", TABLE)
def test_a_model_has_the_figures_of_its_authors(model):
    values = {field.name: getattr(MODELS[model], field.name) for field in fields(Facts)}
    pipeline = values.pop("pipeline")
    assert values == DEFAULTS | dict(zip(COLUMNS, TABLE[model], strict=True)) | REST[model]
    assert pipeline.lower().startswith(("cog", "wan", "hunyuan", "ltx", "stable")) and pipeline.endswith("Pipeline")


def test_every_model_stands_in_the_table():
    assert [*MODELS] == [*TABLE]


def test_a_name_counts_only_with_the_pipeline_that_its_folder_says():
    wan = {"_class_name": "WanPipeline", "num_attention_heads": 40, "boundary_ratio": 0.875}
    assert facts_of("zai-org/CogVideoX-5b", wan) is MODELS["Wan-AI/Wan2.2-T2V-A14B-Diffusers"]
    cog = {"_class_name": "CogVideoXPipeline", "num_attention_heads": 30}
    assert facts_of("THUDM/CogVideoX-5b", cog) is MODELS["zai-org/CogVideoX-5b"]
    assert find_facts("weights/CogVideoX-5b") is None


@pytest.mark.parametrize(
    ("config", "name"), [({"_class_name": "MochiPipeline"}, "MochiPipeline"), ({}, "pipeline without a class")]
)
def test_another_pipeline_is_refused_with_those_that_are_in_the_table(config, name):
    with pytest.raises(DataError) as fault:
        facts_of("weights/mine", config)
    assert fault.value.message == (
        f"weights/mine is a {name}; backend diffusers knows CogVideoXPipeline, HunyuanVideoPipeline, LTXPipeline, "
        "StableDiffusionPipeline, WanPipeline"
    )
