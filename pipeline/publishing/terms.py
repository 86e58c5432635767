"""Licences and terms of what a dataset is made with; they travel with everything made from it."""

import re

TERMS: list[tuple[str, str]] = [
    # pattern over "<backend> <name>", terms; the first that fits counts
    (r"^(offline|tiny|synthetic|query)\b|^offline_", "this project's own, Apache-2.0"),
    (r"vidprom", "CC BY-NC 4.0: non-commercial, name the authors (WenhaoWang/VidProM)"),
    (r"diffusiondb", "CC0 1.0"),
    (r"webvid", "withdrawn by its owners: do not republish its captions"),
    (r"\bgpt-|openai\.com", "OpenAI's terms of use: outputs may not train models that compete with OpenAI's"),
    (r"glm-4", "the provider's terms of use for API outputs"),
    (r"llama-3", "Meta Llama 3 Community License: a derivative's name begins with Llama 3, the notice travels along"),
    (r"cogvideox-2b", "Apache-2.0"),
    (r"cogvideox", "CogVideoX License: commercial users register"),
    (r"wan-ai|\bwan2", "Apache-2.0"),
    (r"stable-diffusion-v1", "CreativeML OpenRAIL-M: its use restrictions travel along"),
    (r"hunyuanvideo", "Tencent Hunyuan Community License: read its territory and its limit on users"),
    (r"open-?sora", "Apache-2.0"),
    (r"visionreward", "CogVLM2 License: commercial users register"),
    (r"videoscore|videoreward", "Apache-2.0"),
]
UNKNOWN = "not known here: look them up before publishing"


def terms(backend: str, name: str) -> str:
    """Return the terms of a source or model, or that they are not known."""
    made_with = f"{backend} {name}".strip().lower()
    return next((text for pattern, text in TERMS if re.search(pattern, made_with)), UNKNOWN)
