"""Open-Sora 1.2 for the command renderer. Runs in Open-Sora's own environment; it needs the standard library alone.

    python opensora.py OPEN_SORA MANIFEST CLIPS [OPTIONS OF scripts/inference.py ...]

OPEN_SORA is a checkout of github.com/hpcaitech/Open-Sora at the branch opensora/v1.2 whose environment is installed as
its README says (without apex and flash-attn add `--layernorm-kernel False --flash-attn False`). In params.yaml:

    render:
      backend: command
      model: hpcai-tech/OpenSora-STDiT-v3
      revision: opensora/v1.2 720p 4s
      command: [/envs/opensora/bin/python, pipeline/backends/renderer/opensora.py, /src/Open-Sora, "{manifest}",
                "{clips}", --resolution, 720p, --aspect-ratio, "9:16", --num-frames, 4s]

with n_frames, height, width and frames_per_second null, or set to what is asked for instead of these options; steps and
guidance are null for the config's 30 and 7.0. Several GPUs: `torchrun --nproc_per_node N` before opensora.py.

Open-Sora seeds once a process. Each clip here has the seed of its query (ours), so the one function that it
calls before it draws a clip's noise, `get_save_path_name`, is replaced by one that also seeds.
"""

import json
import os
import runpy
import shutil
import sys
import tempfile

CONFIG = "configs/opensora-v1-2/inference/sample.py"
OPTIONS = {"n_frames": "--num-frames", "frames_per_second": "--fps", "num_inference_steps": "--num-sampling-steps",
           "guidance_scale": "--cfg-scale"}  # fmt: skip


def prompt_line(prompt: str) -> str:
    """Return a prompt as a line of Open-Sora's file, where { begins JSON and |0| a list of scenes."""
    line = " ".join(prompt.split()).replace("{", "(").replace("}", ")")
    return line.lstrip("| ") if line.startswith("|") else line


def options_of(line: dict) -> list:
    """Return the options of scripts/inference.py for the settings of a manifest's line."""
    if line.get("negative_prompt"):
        sys.exit('Open-Sora 1.2 takes no negative prompt: set render.negative_prompt to ""')
    words = []
    if "height" in line and "width" in line:
        words += ["--image-size", str(line["height"]), str(line["width"])]
    for name, option in OPTIONS.items():
        if name in line:
            value = line[name]
            words += [option, str(int(value) if float(value).is_integer() else value)]
    return words


def main(repository: str, manifest: str, clips: str, *more: str) -> None:
    with open(manifest, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file if line.strip()]
    clips = os.path.abspath(clips)
    work = tempfile.mkdtemp(prefix=".opensora-", dir=os.path.dirname(clips))
    made = os.path.join(work, "made")
    prompts = os.path.join(work, "prompts.txt")
    with open(prompts, "w", encoding="utf-8") as file:
        file.write("".join(prompt_line(line["prompt"]) + "\n" for line in lines))
    os.chdir(repository)
    sys.path[0] = os.getcwd()  # this file's own folder has modules that hide those of others, e.g. http

    import torch
    from opensora.utils import inference_utils  # type: ignore[import-not-found]  # in its own environment alone

    def hand_over() -> None:
        """Move what is finished to where it is looked for; a file is there whole or not at all."""
        for name in sorted(os.listdir(made)) if os.path.isdir(made) else ():
            os.replace(os.path.join(made, name), os.path.join(clips, name))

    def path_and_noise(save_dir: str, sample_name: object = None, sample_idx: int = 0, **_: object) -> str:
        hand_over()
        torch.manual_seed(lines[sample_idx]["seed"])
        return os.path.join(save_dir, lines[sample_idx]["video_id"])

    inference_utils.get_save_path_name = path_and_noise
    sys.argv = ["scripts/inference.py", CONFIG, "--prompt-path", prompts, "--save-dir", made, "--batch-size", "1",
                "--llm-refine", "False", *options_of(lines[0]), *more]  # fmt: skip
    try:
        runpy.run_path("scripts/inference.py", run_name="__main__")
    finally:
        # what was being written when it failed may be half there; our reader looks at each file
        hand_over()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
