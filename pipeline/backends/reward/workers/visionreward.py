r"""VisionReward-Video as a worker: 64 yes/no questions a clip, asked as its authors' inference-video.py asks them.

It lives in an environment of its own, since its code is written for transformers 4.42 and comes with the weights (about
25 GB, 32 GB of GPU memory or more):

    python3.10 -m venv visionreward
    visionreward/bin/pip install torch==2.1.0 torchvision==0.16.0 transformers==4.42.4 accelerate==0.31.0 \
        decord==0.6.0 pytorchvideo==0.1.5 einops==0.7.0 timm==0.9.16 xformers==0.0.22.post7 "numpy<2"

The code that comes with the weights runs with your rights. Read it once at the commit that you pin, and record it:

    visionreward/bin/python pipeline/backends/reward/workers/visionreward.py --record allowed.json \
        --model zai-org/VisionReward-Video --revision <40 hex digits>

which downloads the code alone, runs nothing of it, and writes the SHA-256 of each file. Then, in params.yaml:

    visionreward:
      backend: visionreward
      model: zai-org/VisionReward-Video
      revision: <the same 40 hex digits>
      questions: VisionReward_video_qa.txt
      scored_text: query
      worker: [visionreward/bin/python, pipeline/backends/reward/workers/visionreward.py, --allow, allowed.json]

A model, a commit or a file of code that is not recorded is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_FRAMES = 24
PADDING = 128002  # <|reserved_special_token_0|> of Llama 3, as the authors set it


def one_a_second(timestamps: Sequence[float], most: int = MOST_FRAMES) -> list[int]:
    """Return the places of the frames nearest to each full second, at most `most`: the authors' strategy `chat`."""
    last = round(max(timestamps)) + 1
    return [
        min(range(len(timestamps)), key=lambda index: (abs(timestamps[index] - second), index))
        for second in range(min(last, most))
    ]


def load(model: str, revision: str, allowed: str) -> tuple[str, Any]:
    """Return (revision, score) of a model whose code is recorded in `allowed`."""
    import torch
    from huggingface_hub import snapshot_download
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not re.fullmatch("[0-9a-f]{40}", revision or ""):
        raise SystemExit(f"{model}: revision must be a 40-hex commit, not {revision}")
    recorded = json.loads(Path(allowed).read_text()).get(f"{model}@{revision}")
    if not recorded:
        raise SystemExit(f"{allowed} does not allow the code of {model}@{revision}; read it, then --record it")
    # pickled weights are never fetched, so they cannot be what is loaded
    folder = Path(snapshot_download(model, revision=revision, ignore_patterns=["*.bin", "*.pt", "*.pth", "*.ckpt"]))
    if changed := differing(code_hashes(folder), recorded):
        raise SystemExit(f"{model}@{revision}: {', '.join(changed)} is not the code that {allowed} allows")
    if elsewhere := code_from_elsewhere(folder):
        raise SystemExit(f"{model}@{revision} would run code of another repository: {elsewhere[0]}")
    kind = torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    network = AutoModelForCausalLM.from_pretrained(
        folder, torch_dtype=kind, trust_remote_code=True, use_safetensors=True
    )
    network = network.eval().to("cuda")

    def score(clip: str, text: str, questions: list[dict[str, str]]) -> dict[str, Any]:
        """Return {"answers": {question id: first word}}; the text is already in the questions."""
        video = frames(clip)
        return {"answers": {item["id"]: first_word(video, item["question"]) for item in questions}}

    def first_word(video: Any, question: str) -> str:
        made = network.build_conversation_input_ids(
            tokenizer=tokenizer, query=question, images=[video], history=[], template_version="chat"
        )
        inputs = {
            name: made[name].unsqueeze(0).to("cuda") for name in ("input_ids", "token_type_ids", "attention_mask")
        }
        inputs["images"] = [[made["images"][0].to("cuda").to(kind)]]
        with torch.no_grad():
            # the authors write 2,048 tokens and read the first
            out = network.generate(**inputs, max_new_tokens=1, pad_token_id=PADDING, top_k=1, do_sample=False)
        return tokenizer.decode(out[0, inputs["input_ids"].shape[1]])

    return revision, score


def frames(clip: str) -> Any:
    """Return the looked-at frames of an mp4 file, a uint8 tensor (3, n, height, width) as the model's code wants it."""
    import decord
    from protocol import CannotScore  # type: ignore[import-not-found]  # beside this file, which is run as a program

    decord.bridge.set_bridge("torch")
    try:
        reader = decord.VideoReader(io.BytesIO(Path(clip).read_bytes()), ctx=decord.cpu(0))
        timestamps = [float(span[0]) for span in reader.get_frame_timestamp(list(range(len(reader))))]
        return reader.get_batch(one_a_second(timestamps)).permute(3, 0, 1, 2)
    except (decord.DECORDError, ValueError) as fault:
        raise CannotScore(f"{type(fault).__name__}: {str(fault).strip().splitlines()[0]}") from None


def code_hashes(folder: str | Path) -> dict[str, str]:
    """Return the SHA-256 of each Python file by its path in the folder."""
    files = sorted(Path(folder).rglob("*.py"))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def code_from_elsewhere(folder: str | Path) -> list[str]:
    """Return what configs take from other repositories (`owner/name--module.Class` in auto_map), which no hash pins."""
    elsewhere = []
    for path in sorted(Path(folder).glob("*.json")):
        config = json.loads(path.read_text(encoding="utf-8"))
        classes = config.get("auto_map", {}) if isinstance(config, dict) else {}
        named = [item for value in classes.values() for item in (value if isinstance(value, list) else [value])]
        elsewhere += [f"{path.name}: {item}" for item in named if item and "--" in item]
    return elsewhere


def differing(hashes: dict[str, str], recorded: dict[str, str]) -> list[str]:
    """Return the files that are not as recorded, those too many and too few among them."""
    return sorted(name for name in {*hashes, *recorded} if hashes.get(name) != recorded.get(name))


def record(model: str, revision: str, allowed: str) -> None:
    """Write the hashes of a model's code into the file `allowed`."""
    from huggingface_hub import snapshot_download

    if not re.fullmatch("[0-9a-f]{40}", revision or ""):
        raise SystemExit(f"{model}: --revision must be a 40-hex commit, not {revision}")
    folder = snapshot_download(model, revision=revision, allow_patterns=["*.py", "*.json"])
    path = Path(allowed)
    recorded = json.loads(path.read_text()) if path.exists() else {}
    recorded[f"{model}@{revision}"] = code_hashes(folder)
    path.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    print(f"recorded in {path}; read before use: {folder}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--allow", help="file of the code that may run")
    options.add_argument("--record", help="file to record a model's code in")
    options.add_argument("--model")
    options.add_argument("--revision")
    given = options.parse_args()
    if given.record:
        record(given.model, given.revision, given.record)
    elif given.allow:
        from protocol import serve

        serve("visionreward", lambda model, revision: load(model, revision, given.allow))
    else:
        options.error("--allow FILE, or --record FILE --model NAME --revision COMMIT")


if __name__ == "__main__":
    main()
