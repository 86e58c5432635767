"""The model card: README.md of a published model, rendered from its model.json when it is published.

Training writes model.json alone, so that a word of this prose trains no model again.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.publishing.terms import terms

STAGES = {"sft": "supervised fine-tuning on D_SFT", "dpo": "direct preference optimization on D_dpo"}


def model_card(about: Mapping[str, Any]) -> str:
    """Return README.md from what model.json holds; equal facts give equal bytes. Needs the extra hub."""
    from huggingface_hub import ModelCardData

    stage = about.get("stage", "")
    head = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=[tag for tag in ("prompt-optimization", "text-to-video", "trl", stage) if tag],
    )
    lines = [
        "---",
        head.to_yaml(),
        "---",
        "",
        f"# A prompt optimizer for text-to-video models ({stage})",
        "",
        "It reads a user's query in the project's instruction and writes the prompt for the video model, after "
        "[VPO](https://arxiv.org/abs/2503.20491).",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in list_facts(about) if value),
        "",
        "Hashes are hex digits over content: of the rows, and of the files that training read. The terms of the "
        "queries' source and of the models that wrote the data hold beside those above; the data's own card lists "
        "them.",
    ]
    return "\n".join(lines) + "\n"


def list_facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (what, value in Markdown) of a model; the value of a fact that is not known is empty."""
    stage, revision, lora, origin = (about.get(key) for key in ("stage", "revision", "lora", "origin"))
    libraries = about.get("libraries", {})
    return [
        ("made by", STAGES.get(stage or "", stage or "")),
        ("trained from", f"`{about.get('base')}`" + (f" at `{revision}`" if revision else "")),
        ("hash of those weights", quote(about.get("weights"))),
        ("hash of the data", quote(about.get("d_sft") or about.get("d_dpo"))),
        ("hash of the instruction's template", quote(about.get("template"))),
        ("seed", quote(about.get("seed"))),
        ("adapter", f"LoRA, merged into the weights: {lora}" if lora else "none: all weights were trained"),
        ("trained with", ", ".join(f"{name} {number}" for name, number in libraries.items())),
        ("descends from", f"`{origin}`" if origin else "a tiny model that this project made itself"),
        ("terms of that model", terms("hub", origin) if origin else terms("tiny", "")),
    ]


def quote(value: object) -> str:
    """Return a value as code in Markdown, nothing for None."""
    return "" if value is None else f"`{value}`"
