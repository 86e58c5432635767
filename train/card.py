"""The model card: README.md beside the weights, with what the model was made from and whose terms hold."""

from pipeline.publishing.terms import terms

STAGES = {"sft": "supervised fine-tuning on D_SFT", "dpo": "direct preference optimization on D_dpo"}


def card(about: dict) -> str:
    """Return README.md of a model folder from what its model.json says; equal facts give equal bytes."""
    stage, revision, lora = about.get("stage", ""), about.get("revision"), about.get("lora")
    origin = about.get("origin")
    libraries = about.get("libraries", {})
    facts = [
        ("made by", STAGES.get(stage, stage)),
        ("trained from", f"`{about.get('base')}`" + (f" at `{revision}`" if revision else "")),
        ("hash of those weights", code(about.get("weights"))),
        ("hash of the data", code(about.get("d_sft") or about.get("d_dpo"))),
        ("hash of the instruction's template", code(about.get("template"))),
        ("seed", code(about.get("seed"))),
        ("adapter", f"LoRA, merged into the weights: {lora}" if lora else "none: all weights were trained"),
        ("trained with", ", ".join(f"{name} {number}" for name, number in libraries.items())),
        ("descends from", f"`{origin}`" if origin else "a tiny model that this project made itself"),
        ("terms of that model", terms("hub", origin) if origin else terms("tiny", "")),
    ]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {tag}" for tag in ("prompt-optimization", "text-to-video", "trl", stage) if tag),
        "---",
        "",
        f"# A prompt optimizer for text-to-video models ({stage})",
        "",
        "It reads a user's query in the project's instruction and writes the prompt for the video model, after "
        "[VPO](https://arxiv.org/abs/2503.20491).",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in facts if value),
        "",
        "Hashes are hex digits over content: of the rows, and of the files that training read. The terms of the "
        "queries' source and of the models that wrote the data hold beside those above; the data's own card lists "
        "them.",
    ]
    return "\n".join(lines) + "\n"


def code(value) -> str:
    return "" if value is None else f"`{value}`"
