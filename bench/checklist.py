"""A checklist's questions on one shared beginning: `python -m bench.checklist` writes bench/results/checklist.md.

A Qwen2-VL with random weights; CPU seconds of one thread, every way in the same run.
"""

import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from bench.page import read_basis, write_page
from pipeline.backends.reward.yes_no import YesNo
from tests.support import tiny_scorers

N, CLIPS = 64, 2
SHAPE = dict(hidden_size=256, layers=6, heads=8)
# a clip of CogVideoX: 49 frames of 480 x 720 at 8 a second, of which seven are looked at
FRAMES, HEIGHT, WIDTH = 7, 480, 720
TOKENS_A_FRAME = (150, 216)
AT_ONCE = (1, 8, 32, 64)


def questions() -> list[str]:
    """Return 64 questions of about 30 tokens, the words around them included."""
    words = (
        "Is the main object of text in video? Does it stay from start to end? Are all colors rich and sharp?".split()
    )
    draws = np.random.default_rng(0)
    return [" ".join(draws.choice(words, draws.integers(4, 11))) for _ in range(N)]


def clips() -> list[np.ndarray]:
    """Return clips in which a square moves over noise."""
    made = []
    for seed in range(CLIPS):
        frames = np.random.default_rng(seed).integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), dtype=np.uint8)
        for number, frame in enumerate(frames):
            frame[100:300, 40 * number : 40 * number + 200] = (250, 40 * seed, 40)
        made.append(frames)
    return made


def timed(ask) -> tuple[float, np.ndarray]:
    """Return CPU seconds a clip and P(yes), (clips, questions)."""
    shown = clips()
    start = time.process_time()
    with torch.inference_mode():
        said = [ask(frames) for frames in shown]
    return (time.process_time() - start) / CLIPS, np.array(said)


def with_pixels_ready(model: YesNo, texts: list[str]):
    """Return a way that asks one call a question, with the pictures prepared once a clip."""

    def ask(frames: np.ndarray) -> list[float]:
        prepared = model.processor.image_processor
        first = model.inputs(frames, model.prompt(len(frames), texts[0]))
        pictures = {name: first[name] for name in ("pixel_values", "image_grid_thw")}
        found = []
        for text in texts:
            tokens = whole_tokens(model, prepared, model.prompt(len(frames), text), first["image_grid_thw"])
            found += model.read(model.run({**tokens, **pictures}, [-1])[:, -1])
        return found

    return ask


def whole_tokens(model: YesNo, prepared, prompt: str, grid) -> dict:
    """Return a prompt's tokens with each picture's place as often as it has tokens."""
    counts = iter((grid.prod(-1) // prepared.merge_size**2).tolist())
    place = model.processor.image_token_id
    ids = []
    for token in model.tokenizer(prompt)["input_ids"]:
        ids += [token] * (next(counts) if token == place else 1)
    ids = torch.tensor([ids])
    return {
        "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": (ids == place).int()
    }  # fmt: skip


def row(name: str, seconds: float, base: float, said: np.ndarray, expected: np.ndarray) -> str:
    equal = [int(((one > 0.5) == (other > 0.5)).sum()) for one, other in zip(said, expected, strict=True)]
    apart = np.abs(said - expected).max()
    told = "-" if said is expected else f"{min(equal)} of {N} | {apart:.0e}"
    return f"| {name} | {seconds:.2f} | {N / seconds:.1f} | {base / seconds:.1f} | {told if told != '-' else '- | -'} |"


def measured(tokens: int, folder: Path) -> tuple[str, list[str], int]:
    """Return a heading, the table's lines and how many weights the model has."""
    texts = questions()
    tiny_scorers.qwen2_vl(folder, most_pixels=28 * 28 * tokens, **SHAPE)
    model = YesNo(str(folder), None, None, N)
    first = model.inputs(clips()[0], model.prompt(FRAMES, texts[0]))
    visual = int(first["mm_token_type_ids"].sum())
    ends = [len(end) for end in model.split(clips()[0], [model.prompt(FRAMES, text) for text in texts])[2]]
    base, expected = timed(lambda frames: model.one_by_one(frames, texts))
    lines = [row("one call a question", base, base, expected, expected)]
    ready, said = timed(with_pixels_ready(model, texts))
    lines.append(row("one call a question, pixels prepared once", ready, base, said, expected))
    for size in AT_ONCE:
        model.size.now = size
        spent, said = timed(lambda frames: model.together(frames, texts))
        lines.append(row(f"shared beginning, {size} at once", spent, base, said, expected))
    head = f"{visual:,} visual tokens a clip, ends of {min(ends)} to {max(ends)} tokens (mean {np.mean(ends):.0f})"
    print(head, *lines, sep="\n", flush=True)
    return head, lines, model.model.num_parameters()


def main() -> None:
    basis = read_basis("checklist")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["VPO_HOME"] = temporary
        found = [measured(tokens, Path(temporary) / str(tokens)) for tokens in TOKENS_A_FRAME]
    write_page("checklist", page(found), basis)


def page(found: list) -> str:
    columns = ("way", "CPU s a clip", "questions a CPU s", "to one call a question", "same answers", "P(yes) apart")
    top = f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|\n"
    tables = "\n\n".join(f"## {head}\n\n{top}" + "\n".join(lines) for head, lines, _ in found)
    return f"""# A checklist: what the shared beginning saves, and what it changes

`python -m bench.checklist`: a Qwen2-VL of {found[0][2] / 1e6:.1f} million random weights ({SHAPE["layers"]} layers of
{SHAPE["hidden_size"]}), float32, one thread of a shared {platform.machine()} machine; {CLIPS} clips, of each {FRAMES}
frames of {HEIGHT} x {WIDTH} (a CogVideoX clip of six seconds, a frame a second), {N} questions. Loading is not counted.

{tables}

Equal answers are counted for the worse of the clips; the last column is the largest difference of P(yes), which is the
order of adding in float32. The second row prepares the pixels once and still sends them through the model 64 times.

What bounds it: the beginning is read once, then each end costs its own tokens and its attention over the beginning. One
at a time each end copies the keys and values of the beginning once; several at once copy them as often but multiply
larger matrices. Memory grows with the questions at once: keys and values of beginning and end for each.

Where answers may differ: in half precision the order of adding moves P(yes) in the second or third digit, so an answer
near 0.5 can fall the other way. When a model is loaded the two ways are compared on a made clip, and where they differ
by more than that the model is asked one call a question, with a line that says so.
"""


if __name__ == "__main__":
    main()
