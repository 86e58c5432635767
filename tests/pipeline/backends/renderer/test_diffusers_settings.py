"""What a clip depends on: the table, what params tell before it, what is refused, and the id of it all."""

import shutil

import pytest

from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.runtime.io import DataError
from pipeline.video.rendering import video_id
from tests.support import tiny_pipelines
from tests.support.tiny_pipelines import DOG, FAMILIES, SIZES, with_weights

pytestmark = pytest.mark.slow


def test_the_authors_5b_is_run_as_its_authors_do(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "five")
    tiny_pipelines.changed(folder, "transformer/config.json", num_attention_heads=48, max_text_seq_length=226)
    renderer = Diffusers(diffusers_params(folder))
    settings = renderer.settings
    assert (settings["scheduler"], settings["use_dynamic_cfg"]) == ("CogVideoXDPMScheduler", True)
    assert [settings[name] for name in ("n_frames", "height", "width", "frames_per_second")] == [49, 480, 720, 8]
    assert (settings["num_inference_steps"], settings["guidance_scale"], settings["dtype"]) == (50, 6.0, "bfloat16")
    assert renderer.token_limit == 226


def test_what_params_tell_goes_before_the_table(tiny_renderer):
    told = {"num_inference_steps": 3, "guidance_scale": 2.0, "frames_per_second": 5.0, "vae_tiling": False,
            "use_dynamic_cfg": True, "scheduler": "CogVideoXDPMScheduler", "negative_prompt": "blur"}  # fmt: skip
    assert tiny_renderer("cogvideox", **told).settings.items() >= told.items()


def test_flow_shift_reaches_the_scheduler(tiny_renderer):
    renderer = tiny_renderer("wan", flow_shift=7.0)
    assert renderer.settings["flow_shift"] == renderer.pipeline.scheduler.config.flow_shift == 7.0


def test_timesteps_are_spaced_as_the_table_says(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("cogvideox"), tmp_path / "leading")
    tiny_pipelines.changed(folder, "scheduler/scheduler_config.json", timestep_spacing="leading")
    renderer = Diffusers(diffusers_params(folder, **SIZES, **FAMILIES["cogvideox"]))
    assert renderer.pipeline.scheduler.config.timestep_spacing == "trailing"


def test_weights_are_of_the_dtype_that_was_told_and_exceptions_of_the_table_hold(tiny_renderer):
    import torch

    pipeline = tiny_renderer("wan", dtype="bfloat16").pipeline
    assert (pipeline.transformer.dtype, pipeline.vae.dtype) == (torch.bfloat16, torch.float32)


@pytest.mark.parametrize(
    "family, values, said",
    [
        ("cogvideox", {"n_frames": 13}, "n_frames must be 8N+1, such as 9 or 17, not 13"),
        ("cogvideox", {"n_frames": 57}, "n_frames must be at most 49, as its authors run it, not 57"),
        ("wan", {"n_frames": 8}, "n_frames must be 4N+1, such as 5 or 9, not 8"),
        ("stable_diffusion", {"n_frames": 9}, "makes pictures: render.n_frames must be 1"),
        ("cogvideox", {"height": 72}, "render.height must be a multiple of 16, not 72"),
        ("ltx", {"width": 48}, "render.width must be a multiple of 32, not 48"),
        ("wan", {"guidance_scale_2": 3.0}, "no second expert"),
        ("wan", {"negative_prompt": "blur", "guidance_scale": 1.0}, "without guidance"),
        ("wan", {"use_dynamic_cfg": True}, "has no use_dynamic_cfg"),
        ("wan", {"scheduler": "NoSuchScheduler"}, "has no NoSuchScheduler"),
        ("cogvideox", {"flow_shift": 3.0}, "CogVideoXDDIMScheduler has no fixed flow shift"),
        ("ltx", {"flow_shift": 3.0}, "FlowMatchEulerDiscreteScheduler has no fixed flow shift"),
        ("wan", {"safety_checker": True}, "has no safety checker"),
        ("cogvideox", {"max_sequence_length": 32}, "reads 16 tokens, no more and no fewer"),
        ("stable_diffusion", {"max_sequence_length": 90}, "CLIP reads 77 tokens"),
    ],
)
def test_what_the_model_cannot_do_is_refused(tiny_renderer, family, values, said):
    with pytest.raises(DataError) as fault:
        tiny_renderer(family, **values)
    assert said in str(fault.value)


def test_a_negative_prompt_that_would_be_ignored_is_refused(tiny_renderer):
    with pytest.raises(DataError, match="ignores negative prompts"):
        tiny_renderer("hunyuan", negative_prompt="blur")


def test_the_second_expert_of_a_pipeline_that_has_one_takes_its_guidance(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("wan"), tmp_path / "experts")
    tiny_pipelines.changed(folder, "model_index.json", boundary_ratio=0.875)
    tiny_pipelines.changed(folder, "transformer/config.json", num_attention_heads=40)
    assert Diffusers(diffusers_params(folder)).settings["guidance_scale_2"] == 3.0
    assert Diffusers(diffusers_params(folder, guidance_scale_2=2.5)).settings["guidance_scale_2"] == 2.5


def test_a_pipeline_that_is_not_in_the_table_is_refused_with_those_that_are(tiny_pipeline, diffusers_params, tmp_path):
    folder = shutil.copytree(tiny_pipeline("ltx"), tmp_path / "other")
    tiny_pipelines.changed(folder, "model_index.json", _class_name="MochiPipeline")
    with pytest.raises(DataError, match="MochiPipeline; backend diffusers knows CogVideoXPipeline"):
        Diffusers(diffusers_params(folder))


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_model_on_the_hub_needs_its_commit(diffusers_params, revision):
    with pytest.raises(DataError, match="set revision to the model's 40-hex commit"):
        Diffusers(diffusers_params("zai-org/CogVideoX-2b", revision=revision))


def test_a_model_that_cannot_be_fetched_is_told_with_the_file_that_lacks(diffusers_params):
    with pytest.raises(DataError, match="no model_index.json"):
        Diffusers(diffusers_params("zai-org/CogVideoX-2b", revision="a" * 40))


def test_batch_size_and_offload_are_no_part_of_a_clips_id(tiny_renderer):
    one, other = tiny_renderer("wan"), tiny_renderer("wan", batch_size=4, offload="model")
    assert video_id(one, DOG) == video_id(other, DOG)


@pytest.mark.parametrize(
    "values",
    [
        {"num_inference_steps": 3}, {"guidance_scale": 2.0}, {"flow_shift": 9.0}, {"dtype": "bfloat16"},
        {"vae_tiling": True}, {"vae_slicing": True}, {"negative_prompt": "blur"}, {"max_sequence_length": 20},
        {"scheduler": "FlowMatchEulerDiscreteScheduler"}, {"frames_per_second": 5.0}, {"n_frames": 5},
    ],
)  # fmt: skip
def test_what_shapes_a_clip_changes_its_id(tiny_renderer, values):
    assert video_id(tiny_renderer("wan"), DOG) != video_id(tiny_renderer("wan", **values), DOG)


def test_the_folder_that_weights_lie_in_is_no_part_of_a_clips_id_but_their_bytes_are(
    tiny_pipeline, diffusers_params, tmp_path
):
    here, there = (shutil.copytree(tiny_pipeline("wan"), tmp_path / place / "wan") for place in "ab")
    assert video_id(Diffusers(diffusers_params(here)), DOG) == video_id(Diffusers(diffusers_params(there)), DOG)
    with_weights(there, "vae", post_quant_conv__bias=0.5)
    assert video_id(Diffusers(diffusers_params(here)), DOG) != video_id(Diffusers(diffusers_params(there)), DOG)


def test_a_safety_checker_is_a_part_of_the_clips_id(diffusers_params, tmp_path):
    folder = tiny_pipelines.stable_diffusion(tmp_path / "strict", checker=2.0)
    renderers = [Diffusers(diffusers_params(folder, safety_checker=on)) for on in (None, False)]
    assert [renderer.settings["safety_checker"] for renderer in renderers] == [True, False]
