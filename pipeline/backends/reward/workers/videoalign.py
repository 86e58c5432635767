r"""VideoAlign (VideoReward) as a worker: VQ, MQ and TA of a clip against its text, as its authors' inference.py.

It lives in an environment of its own (about 6 GB of GPU memory), beside a checkout of its code:

    git clone https://github.com/KwaiVGI/VideoAlign
    python3.10 -m venv videoalign
    videoalign/bin/pip install torch==2.3.1 torchvision==0.18.1 transformers==4.45.2 trl==0.8.6 peft==0.10.0 \
        accelerate==0.34.0 datasets==2.19.2 decord==0.6.0 pandas==2.2.2 fire opencv-python-headless "numpy<2"

flash-attn 2.5.8 makes it faster; without it, it runs on PyTorch's attention. In params.yaml:

    videoalign:
      backend: videoalign
      model: KwaiVGI/VideoReward
      revision: <40 hex digits>
      scored_text: prompt
      worker: [videoalign/bin/python, pipeline/backends/reward/workers/videoalign.py, --code, VideoAlign,
               --commit, <40 hex digits of the checkout>, --base-revision, <40 hex digits of Qwen/Qwen2-VL-2B-Instruct>]

The checkout must stand at that commit without changes, for it is code that runs here. The checkpoint holds pickled
tensors (model.pth, or non_lora_state_dict.pth): they are read by torch with weights_only, which runs no code in them.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIMENSIONS = ("VQ", "MQ", "TA")
BASE = "Qwen/Qwen2-VL-2B-Instruct"


def load(model: str, revision: str, code: str, commit: str, base_revision: str) -> tuple[str, Any]:
    """Return (revision, score) of the checkpoint."""
    import torch
    from huggingface_hub import snapshot_download

    for name, given in ((model, revision), (BASE, base_revision), (code, commit)):
        if not re.fullmatch("[0-9a-f]{40}", given or ""):
            raise SystemExit(f"{name} must be pinned to a 40-hex commit, not {given}")
    refuse_other_code(code, commit)
    folder = snapshot_download(model, revision=revision)
    base = snapshot_download(BASE, revision=base_revision, ignore_patterns=["*.bin", "*.pt", "*.pth"])
    sys.path.insert(0, str(Path(code).resolve()))
    load_pickled = torch.load
    torch.load = lambda *args, **kwargs: load_pickled(*args, **dict(kwargs, weights_only=True))
    reader = authors_reader(folder, base)

    def score(clip: str, text: str, questions: list[dict[str, str]]) -> dict[str, Any]:
        """Return {"dims": ...}: raw values, and beside them the authors' z-scores (use_norm)."""
        with torch.no_grad():
            raw = reader.reward([clip], [text], use_norm=False)[0]
        return {"dims": with_z_scores(raw, reader.inference_config)}

    return revision, score


def authors_reader(folder: str, base: str) -> Any:
    """Return VideoVLMRewardInference of the checkout, on the pinned base; without flash-attn on PyTorch's attention."""
    import inference  # type: ignore[import-not-found]  # of the checkout

    inference.ModelConfig = with_values(inference.ModelConfig, model_name_or_path=base)
    if importlib.util.find_spec("flash_attn") is None:
        # inference.py sets this switch of theirs to False whatever is installed
        inference.TrainingConfig = with_values(inference.TrainingConfig, disable_flash_attn2=True)
    return inference.VideoVLMRewardInference(folder, device="cuda")


def with_values(config: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
    """Return a config class with some of its values given."""
    return lambda **values: config(**dict(values, **fixed))


def with_z_scores(raw: dict[str, Any], norm: dict[str, float] | None) -> dict[str, float]:
    """Return VQ, MQ, TA and VQ_z, MQ_z, TA_z; `norm` holds mean and deviation by `VQ_mean`, `VQ_std`, ..."""
    values = {name: float(raw[name]) for name in DIMENSIONS}
    if norm is None:
        raise SystemExit("the checkpoint's model_config.json has no inference_config, so there are no z-scores")
    return dict(values, **{f"{name}_z": (values[name] - norm[f"{name}_mean"]) / norm[f"{name}_std"] for name in values})


def refuse_other_code(code: str, commit: str) -> None:
    """End unless the checkout stands at `commit` and nothing in it was changed."""
    git = ["git", "-C", code]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    if head != commit:
        raise SystemExit(f"{code} stands at {head}, not at {commit}")
    if changed.strip():
        raise SystemExit(f"{code} was changed: {changed.splitlines()[0].strip()}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--code", required=True, help="checkout of VideoAlign")
    options.add_argument("--commit", required=True, help="its 40-hex commit")
    options.add_argument("--base-revision", required=True, help=f"40-hex commit of {BASE}")
    given = options.parse_args()
    from protocol import serve  # type: ignore[import-not-found]  # beside this file, which is run as a program

    serve("videoalign", lambda model, revision: load(model, revision, given.code, given.commit, given.base_revision))


if __name__ == "__main__":
    main()
