"""Loads the tokenizer and weights of a diffusers pipeline: safetensors alone, pinned, on the device that is there."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.backends.renderer.diffusers_settings import INSTALL, Resolved
from pipeline.backends.weights import refuse_lacking
from pipeline.runtime.io import DataError
from pipeline.runtime.one_thread import use_one_thread


def counter(model: str, revision: str | None, index: dict) -> Callable[[str], int]:
    """Return what counts a prompt's tokens as the pipeline does: cleaned alike, begin and end included."""
    quiet()
    import transformers

    tokenizer = getattr(transformers, index["tokenizer"][1]).from_pretrained(
        model, subfolder="tokenizer", revision=revision
    )
    if index["_class_name"] == "WanPipeline":
        from diffusers.pipelines.wan.pipeline_wan import prompt_clean

        return lambda prompt: len(tokenizer(prompt_clean(prompt)).input_ids)
    if index["_class_name"] == "HunyuanVideoPipeline":
        from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE as words

        # the instruction before the prompt is cut off after the text encoder has read it
        return lambda prompt: len(tokenizer(words["template"].format(prompt)).input_ids) - words["crop_start"]
    return lambda prompt: len(tokenizer(prompt).input_ids)


def load(model: str, revision: str | None, index: dict, resolved: Resolved) -> Any:
    """Return the pipeline of `resolved`, ready to be called; `index` is its model_index.json.

    Raises DataError for weights that are no safetensors, damaged or not whole.
    """
    quiet()
    import diffusers
    import torch
    from safetensors import SafetensorError

    settings, facts = resolved.settings, resolved.facts
    if Path(model).is_dir():
        use_one_thread(Path(model) / ("transformer" if facts.frames_step else "unet"))
    parts = {"scheduler": getattr(diffusers, settings["scheduler"]).from_config(resolved.scheduler, **resolved.changes)}
    if facts.safety_checker and not settings["safety_checker"]:
        parts |= {"safety_checker": None, "requires_safety_checker": False}
    names = {"default": settings["dtype"], **settings["dtypes"]}
    try:
        parts |= whole_models(model, revision, index, names)
        pipeline = getattr(diffusers, facts.pipeline).from_pretrained(
            model,
            revision=revision,
            dtype={part: getattr(torch, name) for part, name in names.items()},
            use_safetensors=True,
            **parts,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as fault:
        raise DataError(
            f"{model}: cannot be loaded as {facts.pipeline}: {str(fault).strip().splitlines()[0]}"
        ) from None
    pipeline.set_progress_bar_config(disable=True)
    if settings["vae_tiling"]:
        pipeline.vae.enable_tiling()
    if settings["vae_slicing"]:
        pipeline.vae.enable_slicing()
    place(pipeline, resolved.offload)
    return pipeline


def whole_models(model: str, revision: str | None, index: dict, dtypes: dict[str, str]) -> dict:
    """Return the pipeline's networks by name. Raises DataError where weights are missing.

    The pipeline's own loader would leave what is missing at random, other numbers in each process, and go on.
    """
    import diffusers
    import torch
    import transformers

    libraries = {"diffusers": diffusers, "transformers": transformers}
    models = {}
    bases = (diffusers.ModelMixin, transformers.PreTrainedModel)
    for name, entry in index.items():
        if not isinstance(entry, list) or entry[0] not in libraries:
            continue
        kind: Any = getattr(libraries[entry[0]], entry[1], None)
        is_model = inspect.isclass(kind) and issubclass(kind, bases)
        if is_model:
            dtype = getattr(torch, dtypes.get(name, dtypes["default"]))
            models[name], loading = kind.from_pretrained(
                model, subfolder=name, revision=revision, dtype=dtype, use_safetensors=True, output_loading_info=True
            )
            refuse_lacking(loading["missing_keys"], f"{model}/{name}")
    return models


def place(pipeline: Any, offload: str) -> None:
    """Put the weights on the GPU, all at once or as `offload` says; without a GPU they stay where they are."""
    import torch

    if not torch.cuda.is_available():
        return
    if offload == "none":
        pipeline.to("cuda")
    elif offload == "model":
        pipeline.enable_model_cpu_offload()
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload()
    else:
        pipeline.enable_group_offload(onload_device=torch.device("cuda"), offload_type="leaf_level", use_stream=True)


def quiet() -> None:
    """Silence progress bars, and warnings of what the manifest tells for each clip (truncation, blackened pictures)."""
    try:
        import diffusers
        import transformers
    except ImportError:
        raise DataError(INSTALL) from None
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
