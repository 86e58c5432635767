"""What a clip of a diffusers pipeline depends on, resolved from params, table and configs before any weight is loaded.

A param that is null takes the table's value (pipeline/backends/renderer/facts.py). What cannot be is a DataError here.
"""

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backends.renderer.facts import Facts, facts_of
from pipeline.runtime.io import DataError
from schemas.base import content_id
from schemas.params_render import DiffusersRenderParams

INSTALL = "backend diffusers needs diffusers and torch: pip install -e '.[render]'"


@dataclass(frozen=True)
class Configs:
    """The JSON files of a pipeline; empty where it has none."""

    index: dict
    scheduler: dict
    transformer: dict


def read_configs(model: str, revision: str | None) -> Configs:
    """Read the configs of a folder, or of a Hub model at a commit. Raises DataError where model_index.json is not."""
    index = read_json(model, revision, "model_index.json")
    scheduler = read_json(model, revision, "scheduler/scheduler_config.json")
    transformer = read_json(model, revision, "transformer/config.json") if has(index, "transformer") else {}
    return Configs(index, scheduler, transformer)


def read_json(model: str, revision: str | None, name: str) -> dict:
    if Path(model).is_dir():
        path = Path(model) / name
    else:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            path = Path(hf_hub_download(model, name, revision=revision))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as fault:
            raise DataError(f"{model} at {revision}: no {name}: {str(fault).splitlines()[0]}") from None
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{model}: no {name}, so it is no pipeline of diffusers") from None
    except (ValueError, RecursionError) as fault:
        raise DataError(f"{path}: {fault}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no object")
    return content


def has(index: dict, component: str) -> bool:
    """Tell whether a pipeline comes with a component; model_index.json names a missing one [null, null]."""
    return bool(index.get(component) and index[component][0])


@dataclass(frozen=True)
class Resolved:
    """`settings` go into a clip's id; `changes` are those to the scheduler's config, `offload` shapes no clip."""

    facts: Facts
    settings: dict
    scheduler: dict
    changes: dict
    offload: str


def resolve(params: DiffusersRenderParams, configs: Configs) -> Resolved:
    """Return what clips of these params depend on.

    Not in it: batch size, offload and device, which move the last bits at most; nor the versions of diffusers and
    torch, which can do more, but a library's new release must not un-buy clips that took GPU weeks (ours): the lock
    file names the versions, `frames_hash` what was made.
    Raises DataError for values that the model cannot be run with.
    """
    facts = facts_of(params.model, configs.transformer | configs.index)

    def value(name: str) -> Any:
        chosen = getattr(params, name)
        return getattr(facts, name) if chosen is None else chosen

    scheduler, changes = scheduler_of(params, facts, configs)
    config = configs.scheduler | changes
    names = ("n_frames", "height", "width", "frames_per_second", "num_inference_steps", "guidance_scale")
    settings = {name: value(name) for name in names} | {
        "guidance_scale_2": second_guidance(params, facts, configs),
        "negative_prompt": params.negative_prompt,
        "max_sequence_length": text_length(params, facts, configs),
        "use_dynamic_cfg": value("use_dynamic_cfg"),
        "scheduler": scheduler,
        "scheduler_config": content_id({k: v for k, v in config.items() if not k.startswith("_")}),
        "flow_shift": config.get("flow_shift", config.get("shift")),
        "dtype": value("dtype"),
        "dtypes": {} if params.dtype == "float32" else dict(facts.dtypes),
        "vae_tiling": value("vae_tiling"),
        "vae_slicing": value("vae_slicing"),
        "safety_checker": safety_checker(params, configs),
    }
    refuse_impossible(params, facts, settings)
    return Resolved(facts, settings, configs.scheduler, changes, value("offload"))


def refuse_impossible(params: DiffusersRenderParams, facts: Facts, settings: dict) -> None:
    model, n, step = params.model, settings["n_frames"], facts.frames_step
    if step == 0 and n != 1:
        raise DataError(f"{model} makes pictures: render.n_frames must be 1 or null, not {n}")
    if step and n % step != 1 % step:
        near = (n - 1) // step * step + 1
        raise DataError(f"{model}: render.n_frames must be {step}N+1, such as {near} or {near + step}, not {n}")
    if facts.most_frames and n > facts.most_frames:
        raise DataError(f"{model}: render.n_frames must be at most {facts.most_frames}, as its authors run it, not {n}")
    for name in ("height", "width"):
        if settings[name] % facts.multiple_of:
            raise DataError(f"{model}: render.{name} must be a multiple of {facts.multiple_of}, not {settings[name]}")
    if params.negative_prompt and not facts.takes_negative_prompt:
        raise DataError(f"{model} ignores negative prompts: set render.negative_prompt to ''")
    if params.negative_prompt and settings["guidance_scale"] <= 1:
        raise DataError(f"{model}: without guidance (guidance_scale <= 1) render.negative_prompt is not read")
    if params.use_dynamic_cfg is not None and facts.use_dynamic_cfg is None:
        raise DataError(f"{model}: {facts.pipeline} has no use_dynamic_cfg: set render.use_dynamic_cfg to null")


def second_guidance(params: DiffusersRenderParams, facts: Facts, configs: Configs) -> float | None:
    if configs.index.get("boundary_ratio") is not None:
        choices = (params.guidance_scale_2, facts.guidance_scale_2, params.guidance_scale, facts.guidance_scale)
        return next(value for value in choices if value is not None)
    if params.guidance_scale_2 is not None:
        raise DataError(f"{params.model} has no second expert: set render.guidance_scale_2 to null")
    return None


def text_length(params: DiffusersRenderParams, facts: Facts, configs: Configs) -> int:
    length = params.max_sequence_length or facts.max_sequence_length
    if facts.pipeline == "StableDiffusionPipeline" and length != facts.max_sequence_length:
        raise DataError(
            f"{params.model}: CLIP reads {facts.max_sequence_length} tokens: render.max_sequence_length: null"
        )
    # sines for a fixed number of words are added to the words and the pixels as one sequence
    fixed = configs.transformer.get("max_text_seq_length")
    if fixed and not configs.transformer.get("use_rotary_positional_embeddings") and length != fixed:
        raise DataError(f"{params.model} reads {fixed} tokens, no more and no fewer: set render.max_sequence_length")
    return length


def safety_checker(params: DiffusersRenderParams, configs: Configs) -> bool:
    if params.safety_checker and not has(configs.index, "safety_checker"):
        raise DataError(f"{params.model} has no safety checker: set render.safety_checker to null")
    return has(configs.index, "safety_checker") and params.safety_checker is not False


def scheduler_of(params: DiffusersRenderParams, facts: Facts, configs: Configs) -> tuple[str, dict]:
    """Return the scheduler's class and the changes to the config that the weights come with."""
    try:
        import diffusers
    except ImportError:
        raise DataError(INSTALL) from None
    name = params.scheduler or facts.scheduler or configs.index["scheduler"][1]
    scheduler = getattr(diffusers, name, None)
    if scheduler is None:
        raise DataError(f"render.scheduler: diffusers {diffusers.__version__} has no {name}")
    knobs = inspect.signature(scheduler.__init__).parameters
    changes = dict(facts.scheduler_config) if name == facts.scheduler else {}
    shift = next((knob for knob in ("flow_shift", "shift") if knob in knobs), None)
    if params.flow_shift is not None:
        if shift is None or configs.scheduler.get("use_dynamic_shifting"):
            raise DataError(f"{params.model}: {name} has no fixed flow shift: set render.flow_shift to null")
        changes[shift] = params.flow_shift
    elif facts.flow_shift is not None and shift is not None:
        changes[shift] = facts.flow_shift
    return name, changes
