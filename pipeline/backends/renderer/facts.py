"""What is known of each video or picture model: how its authors run it and what its pipeline allows.

Sources: the models' cards and configs, the authors' command lines, signatures and checks of diffusers 0.42; "ours" is
marked. A param of `render` that is null takes the value of this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.runtime.io import DataError


@dataclass(frozen=True)
class Facts:
    """One model, or the family that a folder of weights belongs to."""

    pipeline: str
    """class of diffusers, as model_index.json names it"""

    n_frames: int
    height: int
    width: int
    frames_per_second: float
    num_inference_steps: int
    guidance_scale: float
    max_sequence_length: int
    """most tokens of a prompt, those that begin and end it included"""

    multiple_of: int
    """height and width in pixels: VAE times patch"""

    frames_step: int
    """n_frames is frames_step * N + 1; 0 where there are pictures alone"""

    dtype: str
    most_frames: int | None = None
    """beyond which its authors do not run it; None where they name no bound"""

    scheduler: str | None = None
    """None: the one that the weights come with"""

    scheduler_config: Mapping = field(default_factory=dict)
    """changes to the config that the weights come with"""

    flow_shift: float | None = None
    """None: as the scheduler's config has it; a higher value spends more steps where there is much noise"""

    guidance_scale_2: float | None = None
    """of the second expert; None where there is one"""

    dtypes: Mapping[str, str] = field(default_factory=dict)
    """components that are not computed in `dtype`"""

    use_dynamic_cfg: bool | None = None
    """None: the pipeline has no such argument"""

    takes_negative_prompt: bool = True
    safety_checker: bool = False
    vae_tiling: bool = False
    vae_slicing: bool = False
    offload: str = "none"
    size_by: Mapping = field(default_factory=dict)
    """values of transformer/config.json and model_index.json that tell this model from others of its pipeline"""

    gpu_gigabytes: Mapping[str, float] = field(default_factory=dict)
    """offload -> least GPU memory that its authors name with it, and with the VAE in tiles where they do so"""

    seconds_per_clip: Mapping[str, float] = field(default_factory=dict)
    """GPU -> seconds for one clip of these settings, as the authors publish them"""


COGVIDEOX_2B = Facts(
    pipeline="CogVideoXPipeline",
    n_frames=49,
    height=480,
    width=720,
    frames_per_second=8,
    num_inference_steps=50,
    guidance_scale=6.0,
    max_sequence_length=226,
    multiple_of=16,
    frames_step=8,
    most_frames=49,
    dtype="float16",
    scheduler="CogVideoXDDIMScheduler",  # the authors' advice for 2B, and its config
    scheduler_config={"timestep_spacing": "trailing"},
    use_dynamic_cfg=False,
    vae_tiling=True,  # the authors' example; without it the decoder alone needs more memory than the transformer
    vae_slicing=True,
    size_by={"num_attention_heads": 30},
    gpu_gigabytes={"sequential": 4, "model": 12.5},  # the card, and the card of the first release
    seconds_per_clip={"A100": 90, "H100": 45},
)
COGVIDEOX_5B = replace(
    COGVIDEOX_2B,
    dtype="bfloat16",
    scheduler="CogVideoXDPMScheduler",  # the authors' advice and command line for 5B, with dynamic guidance
    use_dynamic_cfg=True,
    size_by={"num_attention_heads": 48, "patch_size_t": None},
    gpu_gigabytes={"sequential": 5, "model": 20.7},
    seconds_per_clip={"A100": 180, "H100": 90},
)
COGVIDEOX_15_5B = replace(
    COGVIDEOX_5B,
    n_frames=81,
    height=768,
    width=1360,
    frames_per_second=16,
    max_sequence_length=224,
    frames_step=16,
    most_frames=161,  # 10 seconds
    size_by={"num_attention_heads": 48, "patch_size_t": 2},
    gpu_gigabytes={"sequential": 10},
    seconds_per_clip={},
)

WAN_21_1B = Facts(
    pipeline="WanPipeline",
    n_frames=81,
    height=480,
    width=832,
    frames_per_second=16,
    num_inference_steps=50,
    guidance_scale=5.0,
    max_sequence_length=512,
    multiple_of=16,
    frames_step=4,
    dtype="bfloat16",
    dtypes={"vae": "float32"},
    scheduler="UniPCMultistepScheduler",
    flow_shift=3.0,  # the authors': 3 at 480 lines, 5 at 720
    size_by={"num_attention_heads": 12},
    gpu_gigabytes={"sequential": 8.2},
)
WAN_21_14B = replace(
    WAN_21_1B,
    height=720,
    width=1280,
    flow_shift=5.0,
    size_by={"num_attention_heads": 40, "boundary_ratio": None},
    gpu_gigabytes={},
)
WAN_22_A14B = replace(
    WAN_21_14B,
    num_inference_steps=40,
    guidance_scale=4.0,
    guidance_scale_2=3.0,
    flow_shift=None,
    offload="model",  # ours: two experts of 14B and a text encoder of 6B are more than 80 GB
    size_by={"num_attention_heads": 40, "boundary_ratio": 0.875},
    gpu_gigabytes={"model": 80},
)
WAN_22_TI2V_5B = replace(
    WAN_21_14B,
    n_frames=121,
    height=704,
    width=1280,
    frames_per_second=24,
    multiple_of=32,  # a VAE of 16 and a patch of 2
    size_by={"num_attention_heads": 24, "expand_timesteps": True},
    gpu_gigabytes={"model": 24},
)

HUNYUAN_VIDEO = Facts(
    pipeline="HunyuanVideoPipeline",
    n_frames=129,
    height=720,
    width=1280,
    frames_per_second=15,
    num_inference_steps=50,
    guidance_scale=6.0,  # an input of the transformer, so one pass a step
    max_sequence_length=256,
    multiple_of=16,
    frames_step=4,
    dtype="float16",
    dtypes={"transformer": "bfloat16"},
    takes_negative_prompt=False,  # read only where true_cfg_scale > 1, which its authors leave at 1
    vae_tiling=True,
    offload="model",  # ours: 13B and an 8B text encoder leave no room for the decoder in 48 GB
)

LTX_VIDEO = Facts(
    pipeline="LTXPipeline",
    n_frames=161,
    height=512,
    width=704,
    frames_per_second=24,
    num_inference_steps=50,
    guidance_scale=3.0,
    max_sequence_length=128,
    multiple_of=32,
    frames_step=8,
    dtype="bfloat16",
)

STABLE_DIFFUSION = Facts(
    pipeline="StableDiffusionPipeline",
    n_frames=1,
    height=512,
    width=512,
    frames_per_second=1,  # ours: a clip of one picture lasts a second
    num_inference_steps=50,
    guidance_scale=7.5,
    max_sequence_length=77,
    multiple_of=8,
    frames_step=0,
    dtype="float16",
    safety_checker=True,
)

MODELS: dict[str, Facts] = {
    "zai-org/CogVideoX-2b": COGVIDEOX_2B,
    "zai-org/CogVideoX-5b": COGVIDEOX_5B,
    "zai-org/CogVideoX1.5-5B": COGVIDEOX_15_5B,
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": WAN_21_1B,
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": WAN_21_14B,
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": WAN_22_A14B,
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": WAN_22_TI2V_5B,
    "hunyuanvideo-community/HunyuanVideo": HUNYUAN_VIDEO,
    "Lightricks/LTX-Video": LTX_VIDEO,
    "CompVis/stable-diffusion-v1-4": STABLE_DIFFUSION,
}
"""Hub id -> facts; the first of a pipeline stands for its family"""

OLD_OWNERS = {"THUDM": "zai-org"}


def find_facts(model: str) -> Facts | None:
    """Return the facts of a Hub id, under its old owner's name or its new one; None for all else."""
    owner, _, name = model.partition("/")
    name_in_table = f"{OLD_OWNERS.get(owner, owner)}/{name}".casefold()
    return next((facts for model_id, facts in MODELS.items() if model_id.casefold() == name_in_table), None)


def facts_of(model: str, config: Mapping) -> Facts:
    """Return the facts of a model by its Hub id, else by its `config`: model_index.json and transformer/config.json.

    Of the models with the same pipeline it is the one whose `size_by` agrees, else the first, which stands for the
    family. Raises DataError for a pipeline that is not in the table.
    """
    pipeline = config.get("_class_name", "pipeline without a class")
    named = find_facts(model)
    if named is not None and named.pipeline == pipeline:
        return named
    family = [facts for facts in MODELS.values() if facts.pipeline == pipeline]
    if not family:
        known_ones = ", ".join(sorted({facts.pipeline for facts in MODELS.values()}))
        raise DataError(f"{model} is a {pipeline}; backend diffusers knows {known_ones}")
    alike = (facts for facts in family if all(config.get(name) == value for name, value in facts.size_by.items()))
    return next(alike, family[0])
