import json
import os
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tiny_pipelines
import torch
from rows import prompt_fields

from pipeline.backends.batches import BatchSize, batched
from pipeline.backends.renderer import RenderRequest, make_renderer, video_id
from pipeline.backends.renderer.diffusers import Diffusers
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
    known,
)
from pipeline.clips import ClipStore, Packed, decode, frames_hash, read_clip, write_shards
from pipeline.io import DataError
from pipeline.render import render, wanted
from pipeline.store import Store
from schemas.render import Render
from schemas.rollout import Rollout

pytestmark = pytest.mark.slow

SIZES = {"n_frames": 9, "height": 64, "width": 64, "num_inference_steps": 2, "dtype": "float32"}
FAMILIES = {
    "cogvideox": {"max_sequence_length": tiny_pipelines.TEXT_LENGTH},
    "wan": {},
    "ltx": {},
    "hunyuan": {},
    "stable_diffusion": {"n_frames": 1},
}
DOG, CAT = RenderRequest("a dog runs", 1), RenderRequest("a cat sits under a tree", 1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The folder of a tiny pipeline by the name of its family; for reading alone."""
    folder, made = tmp_path_factory.mktemp("pipelines"), {}

    def of(family):
        if family not in made:
            made[family] = getattr(tiny_pipelines, family)(folder / family)
        return made[family]

    return of


@pytest.fixture
def told(laptop, vpo_home):
    """Return params.render of backend diffusers, null but for what is given."""

    def params(model, **values):
        nulls = {"n_frames": None, "height": None, "width": None, "frames_per_second": None}
        return type(laptop.render).model_validate(
            laptop.render.model_dump() | nulls | {"backend": "diffusers", "model": str(model)} | values
        )

    return params


@pytest.fixture
def small(tiny, told):
    """Return a renderer of a tiny family."""

    def make(family, **values):
        return Diffusers(told(tiny(family), **(SIZES | FAMILIES[family] | values)))

    return make


def clips_of(renderer, *requests):
    outcomes = list(renderer.map(requests))
    assert [outcome.detail for outcome in outcomes if outcome.value is None] == []
    return [outcome.value for outcome in outcomes]


def copied(folder, to):
    return shutil.copytree(folder, to)


def with_weights(folder, part, **values):
    """Change tensors of a component, by name, to one value each."""
    from safetensors.torch import load_file, save_file

    path = folder / part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    for name, value in values.items():
        tensors[name.replace("__", ".")].fill_(value)
    save_file(tensors, path)
    return folder


# facts


@pytest.mark.parametrize("old, new", [("THUDM/CogVideoX-2b", "zai-org/CogVideoX-2b")])
def test_old_and_new_owner_are_the_same_model(old, new):
    assert known(old) is known(new) is known("zai-org/cogvideox-2B") is COGVIDEOX_2B


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


def test_the_authors_5b_is_run_as_its_authors_do(tiny, told, tmp_path):
    folder = copied(tiny("cogvideox"), tmp_path / "five")
    tiny_pipelines.changed(folder, "transformer/config.json", num_attention_heads=48, max_text_seq_length=226)
    renderer = Diffusers(told(folder))
    settings = renderer.settings
    assert (settings["scheduler"], settings["use_dynamic_cfg"]) == ("CogVideoXDPMScheduler", True)
    assert [settings[name] for name in ("n_frames", "height", "width", "frames_per_second")] == [49, 480, 720, 8]
    assert (settings["num_inference_steps"], settings["guidance_scale"], settings["dtype"]) == (50, 6.0, "bfloat16")
    assert renderer.token_limit == 226


def test_what_params_tell_goes_before_the_table(small):
    told = {"num_inference_steps": 3, "guidance_scale": 2.0, "frames_per_second": 5.0, "vae_tiling": False,
            "use_dynamic_cfg": True, "scheduler": "CogVideoXDPMScheduler", "negative_prompt": "blur"}  # fmt: skip
    assert small("cogvideox", **told).settings.items() >= told.items()


def test_flow_shift_reaches_the_scheduler(small):
    renderer = small("wan", flow_shift=7.0)
    assert renderer.settings["flow_shift"] == renderer.pipeline.scheduler.config.flow_shift == 7.0


def test_timesteps_are_spaced_as_the_table_says(tiny, told, tmp_path):
    folder = copied(tiny("cogvideox"), tmp_path / "leading")
    tiny_pipelines.changed(folder, "scheduler/scheduler_config.json", timestep_spacing="leading")
    renderer = Diffusers(told(folder, **SIZES, **FAMILIES["cogvideox"]))
    assert renderer.pipeline.scheduler.config.timestep_spacing == "trailing"


def test_weights_are_of_the_dtype_that_was_told_and_exceptions_of_the_table_hold(small):
    pipeline = small("wan", dtype="bfloat16").pipeline
    assert (pipeline.transformer.dtype, pipeline.vae.dtype) == (torch.bfloat16, torch.float32)


# what cannot be is refused before weights are loaded


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
def test_what_the_model_cannot_do_is_refused(small, family, values, said):
    with pytest.raises(DataError) as fault:
        small(family, **values)
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("model_index.json", "[]", "model_index.json: holds no object"),
        ("model_index.json", "{}", "is a pipeline without a class; backend diffusers knows"),
        ("model_index.json", "[" * 100_000, "model_index.json: "),
        ("transformer/config.json", "7", "config.json: holds no object"),
    ],
)
def test_a_config_that_is_none_is_refused_in_one_line(tiny, told, tmp_path, name, text, said):
    folder = copied(tiny("wan"), tmp_path / "odd")
    (folder / name).write_text(text)
    with pytest.raises(DataError, match=said):
        Diffusers(told(folder))


def test_cogvideox_15_makes_ten_seconds_and_no_more(tiny, told, tmp_path):
    folder = copied(tiny("cogvideox"), tmp_path / "newer")
    tiny_pipelines.changed(
        folder, "transformer/config.json", num_attention_heads=48, patch_size_t=2, use_rotary_positional_embeddings=True
    )
    assert Diffusers(told(folder, n_frames=161)).settings["n_frames"] == 161
    with pytest.raises(DataError, match="n_frames must be at most 161, as its authors run it, not 177"):
        Diffusers(told(folder, n_frames=177))


def test_a_negative_prompt_that_would_be_ignored_is_refused(small):
    with pytest.raises(DataError, match="ignores negative prompts"):
        small("hunyuan", negative_prompt="blur")


def test_the_second_expert_of_a_pipeline_that_has_one_takes_its_guidance(tiny, told, tmp_path):
    folder = copied(tiny("wan"), tmp_path / "experts")
    tiny_pipelines.changed(folder, "model_index.json", boundary_ratio=0.875)
    tiny_pipelines.changed(folder, "transformer/config.json", num_attention_heads=40)
    assert Diffusers(told(folder)).settings["guidance_scale_2"] == 3.0
    assert Diffusers(told(folder, guidance_scale_2=2.5)).settings["guidance_scale_2"] == 2.5


def test_a_pipeline_that_is_not_in_the_table_is_refused_with_those_that_are(tiny, told, tmp_path):
    folder = copied(tiny("ltx"), tmp_path / "other")
    tiny_pipelines.changed(folder, "model_index.json", _class_name="MochiPipeline")
    with pytest.raises(DataError, match="MochiPipeline; backend diffusers knows CogVideoXPipeline"):
        Diffusers(told(folder))


@pytest.mark.parametrize("revision", [None, "main"])
def test_a_model_on_the_hub_needs_its_commit(told, revision):
    with pytest.raises(DataError, match="set revision to the model's 40-hex commit"):
        Diffusers(told("zai-org/CogVideoX-2b", revision=revision))


def test_a_model_that_cannot_be_fetched_is_told_with_the_file_that_lacks(told):
    with pytest.raises(DataError, match="no model_index.json"):
        Diffusers(told("zai-org/CogVideoX-2b", revision="a" * 40))


def test_a_folder_of_pickles_is_refused(told, tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DataError, match="is a pickle"):
        Diffusers(told(tmp_path))


def test_a_component_that_has_pickles_alone_is_not_loaded(tiny, told, tmp_path):
    folder = copied(tiny("wan"), tmp_path / "half")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(DataError, match="safetensors"):
        list(Diffusers(told(folder, **SIZES)).map([DOG]))


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_weights_that_are_not_whole_are_refused_and_never_made_up(tiny, told, tmp_path, part):
    from safetensors.torch import load_file, save_file

    folder = copied(tiny("wan"), tmp_path / "lacking")
    (path,) = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    lost = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[lost]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(DataError, match=f"lacking/{part}: the weights lack {re.escape(lost)}"):
        list(Diffusers(told(folder, **SIZES)).map([DOG]))


def test_damaged_weights_are_said_in_one_line(tiny, told, tmp_path):
    folder = copied(tiny("wan"), tmp_path / "damaged")
    next((folder / "text_encoder").glob("*.safetensors")).write_bytes(b"no weights")
    with pytest.raises(DataError, match="cannot be loaded as WanPipeline"):
        list(Diffusers(told(folder, **SIZES)).map([DOG]))


def test_making_a_renderer_reads_no_weights(tiny, told, tmp_path):
    folder = copied(tiny("cogvideox"), tmp_path / "broken")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    renderer = Diffusers(told(folder, **SIZES, **FAMILIES["cogvideox"]))
    assert renderer.count_tokens("a dog runs") == 4
    assert list(renderer.map([])) == []


# ids


def test_batch_size_and_offload_are_no_part_of_a_clips_id(small):
    one, other = small("wan"), small("wan", batch_size=4, offload="model")
    assert video_id(one, DOG) == video_id(other, DOG)


@pytest.mark.parametrize(
    "values",
    [
        {"num_inference_steps": 3}, {"guidance_scale": 2.0}, {"flow_shift": 9.0}, {"dtype": "bfloat16"},
        {"vae_tiling": True}, {"vae_slicing": True}, {"negative_prompt": "blur"}, {"max_sequence_length": 20},
        {"scheduler": "FlowMatchEulerDiscreteScheduler"}, {"frames_per_second": 5.0}, {"n_frames": 5},
    ],
)  # fmt: skip
def test_what_shapes_a_clip_changes_its_id(small, values):
    assert video_id(small("wan"), DOG) != video_id(small("wan", **values), DOG)


def test_the_folder_that_weights_lie_in_is_no_part_of_a_clips_id_but_their_bytes_are(tiny, told, tmp_path):
    here, there = copied(tiny("wan"), tmp_path / "a" / "wan"), copied(tiny("wan"), tmp_path / "b" / "wan")
    assert video_id(Diffusers(told(here)), DOG) == video_id(Diffusers(told(there)), DOG)
    with_weights(there, "vae", post_quant_conv__bias=0.5)
    assert video_id(Diffusers(told(here)), DOG) != video_id(Diffusers(told(there)), DOG)


# clips


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_from_prompts_to_shards_that_decode(tiny, told, laptop, tmp_path, family):
    clips, folder = ClipStore(Store(tmp_path / "store")), tmp_path / "render"
    renderer = make_renderer(told(tiny(family), **(SIZES | FAMILIES[family])), laptop.world)

    def pack(facts):
        return write_shards(folder, [Packed(item["video_id"], clips.path(item["video_id"])) for item in facts], 2)

    rows = [
        Rollout(**prompt_fields(prompt=text, sample=at))
        for at, text in enumerate(["a dog runs", "a cat sits", "slow camera " * 60])
    ]
    made = list(render(wanted(rows, 0), renderer, clips, pack))
    assert [row.truncated for row in made] == [False, False, family in ("cogvideox", "stable_diffusion")]
    n_frames = 1 if family == "stable_diffusion" else 9
    for row in made:
        assert isinstance(row, Render) and row.video_id == video_id(renderer, RenderRequest(row.prompt, row.seed))
        frames = decode(read_clip(folder, row))
        assert frames.shape == (row.n_frames, row.height, row.width, 3) == (n_frames, 64, 64, 3)
        assert frames_hash(frames) == row.frames_hash
    assert len({row.frames_hash for row in made}) == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_a_clip_is_the_same_whatever_was_rendered_before(small, family):
    alone = clips_of(small(family), CAT)[0]
    assert clips_of(small(family), DOG, RenderRequest(CAT.prompt, 9), CAT)[2] == alone


@pytest.mark.parametrize("family", FAMILIES)
def test_in_a_batch_a_clip_differs_from_itself_alone_in_the_last_bits_at_most(small, family):
    requests = [DOG, CAT, RenderRequest("a bird flies", 2)]
    alone = [picture for request in requests for picture in raw(small(family), [request])]
    for one, other in zip(alone, raw(small(family), requests), strict=True):
        assert np.abs(one - other).max() < 1e-4


def raw(renderer, requests):
    return [frames for frames, _ in renderer.pictures(renderer.pipeline, threading.Event(), requests)]


def test_prompts_of_a_batch_keep_their_seeds_and_places(small):
    requests = [DOG, RenderRequest(DOG.prompt, 2), CAT]
    one, other = clips_of(small("wan"), *requests), clips_of(small("wan", batch_size=3), *requests)
    for alone, beside in zip(one, other, strict=True):
        apart = np.abs(decode(alone.content).astype(int) - decode(beside.content))
        assert apart.mean() < 1


def test_siblings_begin_with_the_same_noise(small):
    """VPO's clips of one query differ by the prompt (design 8)."""
    first = small("wan")
    noise = [starting(first, request) for request in (DOG, CAT, RenderRequest(DOG.prompt, 2))]
    assert torch.equal(noise[0], noise[1]) and not torch.equal(noise[0], noise[2])


def starting(renderer, request):
    """Return the latents before the first step."""
    pipeline, seen = renderer.pipeline, []
    step = pipeline.scheduler.step

    class Seen(Exception):
        pass

    def look(model_output, timestep, sample, **kwargs):
        seen.append(sample.clone())
        raise Seen

    pipeline.scheduler.step = look
    with pytest.raises(Seen):
        raw(renderer, [request])
    pipeline.scheduler.step = step
    return seen[0]


def test_tokens_are_counted_as_the_pipeline_cuts_them(small):
    renderer = small("cogvideox")
    fits = " ".join(["dog"] * 15)
    assert [renderer.count_tokens(text) for text in (fits, fits + " dog")] == [16, 17]
    whole, cut, more = clips_of(renderer, *(RenderRequest(fits + words, 1) for words in ("", " dog", " dog runs")))
    assert (whole.n_tokens, whole.truncated, cut.truncated, more.n_tokens) == (16, False, True, 18)
    assert cut.frames_hash == more.frames_hash


def test_the_instruction_before_the_prompt_is_not_counted(small):
    renderer = small("hunyuan", max_sequence_length=5)
    assert renderer.count_tokens("a dog runs") == 4
    dogs = [RenderRequest("dog " * n, 1) for n in (4, 5, 6)]
    fits, cut, more = clips_of(renderer, *dogs)
    assert [clip.truncated for clip in (fits, cut, more)] == [False, True, True]
    assert fits.frames_hash != cut.frames_hash


def test_a_prompt_is_cleaned_before_its_tokens_are_counted_where_the_pipeline_cleans(small):
    assert small("wan").count_tokens("a  dog &amp;amp; a   cat") == small("wan").count_tokens("a dog & a cat")


@pytest.mark.parametrize(
    "values, said",
    [
        ({"decoder__conv_out__bias": float("nan")}, "frames that are no numbers; float32 may be too small"),
        ({"decoder__conv_out__weight": 0.0, "decoder__conv_out__bias": -9.0}, "every pixel is black"),
    ],
)
def test_frames_that_show_nothing_leave_with_a_reason(tiny, told, tmp_path, values, said):
    folder = with_weights(copied(tiny("wan"), tmp_path / "broken"), "vae", **values)
    outcomes = list(Diffusers(told(folder, **SIZES)).map([DOG, CAT]))
    assert [outcome.reason for outcome in outcomes] == ["render_failed"] * 2
    assert all(said in outcome.detail for outcome in outcomes)


def test_frames_of_another_size_than_was_asked_for_stop_the_stage(tiny, told, tmp_path):
    folder = copied(tiny("cogvideox"), tmp_path / "uneven")
    tiny_pipelines.changed(folder, "vae/config.json", sample_height=64, sample_width=64)
    sizes = SIZES | FAMILIES["cogvideox"]
    with pytest.raises(DataError, match="made 9 frames of 70 x 68 pixels where 9 of 64 x 64 .* set render.vae_tiling"):
        list(Diffusers(told(folder, **sizes)).map([DOG]))
    assert clips_of(Diffusers(told(folder, **sizes, vae_tiling=False)), DOG)[0].height == 64


def test_a_picture_that_the_safety_checker_blackened_leaves_and_without_the_checker_it_stays(told, tmp_path):
    folder = tiny_pipelines.stable_diffusion(tmp_path / "strict", checker=-2.0)
    sizes = SIZES | FAMILIES["stable_diffusion"]
    (outcome,) = Diffusers(told(folder, **sizes)).map([DOG])
    assert (outcome.reason, outcome.detail) == ("render_failed", "blackened by the safety checker")
    (outcome,) = Diffusers(told(folder, **sizes, safety_checker=False)).map([DOG])
    assert outcome.value.n_frames == 1


def test_a_safety_checker_is_a_part_of_the_clips_id(told, tmp_path):
    folder = tiny_pipelines.stable_diffusion(tmp_path / "strict", checker=2.0)
    assert [Diffusers(told(folder, safety_checker=on)).settings["safety_checker"] for on in (None, False)] == [
        True,
        False,
    ]


# the thread


def test_clips_come_in_order_and_a_batch_is_read_ahead_of_what_is_told(small):
    read = []

    def requests():
        for seed in range(5):
            read.append(seed)
            yield RenderRequest("a dog runs", seed)

    renderer = small("wan", batch_size=2)
    told = renderer.map(requests())
    first = next(told)
    assert read == [0, 1, 2, 3]
    rest = [first, *told]
    alone = clips_of(small("wan", batch_size=2), *(RenderRequest("a dog runs", seed) for seed in range(5)))
    assert [outcome.value for outcome in rest] == alone


def test_a_generator_that_is_closed_stops_at_the_next_step_and_leaves_no_thread(small):
    renderer, steps, closing = small("wan"), [], threading.Event()
    step = renderer.pipeline.scheduler.step

    def counted(*args, **kwargs):
        steps.append(1)
        if len(steps) == 50:  # of the second clip: it must not be over before the first is encoded here
            closing.wait()
        return step(*args, **kwargs)

    renderer.pipeline.scheduler.step = counted

    def requests():
        yield DOG
        renderer.settings["num_inference_steps"] = 900
        yield CAT

    outcomes = renderer.map(requests())
    assert next(outcomes).value is not None
    closing.set()
    outcomes.close()
    assert len(steps) < 900 and not rendering()


def test_a_fault_of_the_pipeline_is_told_after_the_clips_that_were_whole(small):
    renderer = small("wan")
    outcomes = renderer.map([DOG, RenderRequest("a cat", "no seed"), CAT])
    assert next(outcomes).value is not None
    with pytest.raises(RuntimeError, match="manual_seed"):
        next(outcomes)
    assert not rendering()


def rendering() -> list[str]:
    """Return the names of the threads that render."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("render")]


def test_a_batch_that_does_not_fit_is_halved_and_what_fits_is_remembered(vpo_home):
    asked = []

    def run(batch):
        asked.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return batch

    size = BatchSize(8, "diffusers", "tiny")
    assert [item for some in batched(range(9), size, run) for item in some] == list(range(9))
    assert asked == [8, 4, 2, 2, 2, 2, 1] and BatchSize(8, "diffusers", "tiny").now == 2


def test_a_missing_library_is_told_with_the_extra_that_brings_it(tiny, root):
    script = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from pipeline.backends.renderer.diffusers import Diffusers\n"
        "from pipeline.params import load_params\n"
        "told = load_params('params.yaml').render.model_copy(update={'model': sys.argv[1]})\n"
        "Diffusers(told)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny("wan"))],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode and "DataError: backend diffusers needs" in done.stderr and "vpo[render]" in done.stderr


@pytest.mark.slow
def test_a_model_on_the_hub_is_found_by_its_id_and_commit(tiny, root, tmp_path):
    commit = "ab" * 20
    copied(tiny("cogvideox"), tmp_path / "hub" / "models--THUDM--CogVideoX-2b" / "snapshots" / commit)
    script = (
        "import sys, json\n"
        "from pipeline.backends.renderer import RenderRequest\n"
        "from pipeline.backends.renderer.diffusers import Diffusers\n"
        "from pipeline.params import load_params\n"
        "told = load_params('params.yaml').render.model_copy(update=json.loads(sys.argv[1]))\n"
        "renderer = Diffusers(told)\n"
        "(outcome,) = renderer.map([RenderRequest('a dog runs', 1)])\n"
        "print(json.dumps([renderer.by.model, renderer.by.revision, outcome.value.frames_hash]))"
    )
    values = SIZES | FAMILIES["cogvideox"] | {"backend": "diffusers", "model": "THUDM/CogVideoX-2b", "revision": commit}
    environment = {"PYTHONPATH": str(root), "HF_HUB_CACHE": str(tmp_path / "hub"), "VPO_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(values)],
        cwd=root, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model, revision, _ = json.loads(done.stdout)
    assert (model, revision) == ("THUDM/CogVideoX-2b", commit)
    assert "it/s" not in done.stderr and "truncated" not in done.stderr
