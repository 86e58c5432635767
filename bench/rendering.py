"""What rendering costs beyond the generator itself: `python -m bench.rendering [PART ...]`.

Each part is a section of bench/results/rendering.md; a run of some parts keeps the sections of the others. The bare way
beside the stage is a loop of pipeline calls with a generator each: no file, no store, no manifest. Random weights.
"""

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import NamedTuple

import click

from bench.page import read_basis, read_record, write_page
from pipeline.backends.renderer.diffusers import Diffusers
from pipeline.backends.renderer.facts import COGVIDEOX_2B
from pipeline.render import plan_clips, render
from pipeline.runtime.params_file import load_params
from pipeline.runtime.stage_output import stage_output
from pipeline.runtime.store import Store
from pipeline.video.clips import ClipStore, Packed, decode, encode, frames_hash, shard_folder, write_shards
from pipeline.video.rendering import Rendering, clip_seed
from schemas.render import Render
from schemas.rollout import Rollout
from schemas.seams import RenderRequest

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench/results/rendering.md"

PUBLISHED_S = COGVIDEOX_2B.seconds_per_clip["H100"]


class Spent(NamedTuple):
    wall_s: float
    cpu_s: float

    def of(self, n: int) -> "Spent":
        return Spent(self.wall_s / n, self.cpu_s / n)


def clock(work: Callable[[], None]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def renderer(folder: Path, **values) -> Diffusers:
    from tests.support import tiny_pipelines
    from tests.support.params import with_values

    given = {
        "backend": "diffusers", "model": str(folder), "dtype": "float32", "frames_per_second": 8.0,
        "max_sequence_length": tiny_pipelines.TEXT_LENGTH,
    }  # fmt: skip
    return Diffusers(with_values(load_params(ROOT / "params.yaml").render, **(given | values)))


def prompts(n: int) -> list[Rollout]:
    from tests.support.rows import prompt_fields

    return [Rollout(**prompt_fields(query=f"a dog {at}", prompt=f"a dog runs in the park {at}")) for at in range(n)]


def bare(made: Diffusers, asked: list[Rollout]) -> None:
    """Call the pipeline once a prompt, as a script would."""
    import torch

    for row in asked:
        made.pipeline(
            prompt=row.prompt,
            generator=torch.Generator("cpu").manual_seed(clip_seed(0, row.query_id)),
            output_type="np",
            **made.arguments,
        )


def stage(made: Diffusers, asked: list[Rollout], folder: Path) -> None:
    """Do what the stage does: clips into a new store, shards, manifest."""
    clips, out = ClipStore(Store(folder / "store")), folder / "render.parquet"

    def pack(facts):
        files = [Packed(item["video_id"], clips.path(item["video_id"]), item["content_hash"]) for item in facts]
        return write_shards(shard_folder(out), files, 500)

    with stage_output(out, Render, label="render") as writer:
        writer.write(render(plan_clips(writer.count(asked), 0), Rendering(made, lambda: made), clips, pack))


def beside(made: Diffusers, asked: list[Rollout], repeats: int) -> dict[str, list[Spent]]:
    """Return way -> what a clip cost in each repeat; the ways take turns, and in who is first."""
    bare(made, asked[:1])  # loads the weights
    found = {"bare": [], "stage": []}
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            ways = {"bare": lambda: bare(made, asked), "stage": lambda where=Path(folder): stage(made, asked, where)}
            for name in sorted(ways, reverse=repeat % 2 == 1):
                found[name].append(clock(ways[name]).of(len(asked)))
        click.echo(f"  {found['bare'][-1]} {found['stage'][-1]}", err=True)
    return found


def least(found: list[Spent]) -> Spent:
    """Return the least of each: others use the machine too, and can only add."""
    return Spent(min(spent.wall_s for spent in found), min(spent.cpu_s for spent in found))


def table(found: dict[str, list[Spent]]) -> list[str]:
    best = {way: least(spent) for way, spent in found.items()}
    lines = ["| way | CPU s a clip | wall s a clip |", "|---|---|---|"]
    return lines + [f"| {way} | {spent.cpu_s:.3f} | {spent.wall_s:.3f} |" for way, spent in best.items()]


def ratio(found: dict[str, list[Spent]]) -> Spent:
    """Return what the stage takes of the bare loop's seconds."""
    bare, stage = least(found["bare"]), least(found["stage"])
    return Spent(stage.wall_s / bare.wall_s, stage.cpu_s / bare.cpu_s)


def frames_at_hand(made: Diffusers, asked: list[Rollout], repeats: int) -> Spent:
    """Return what the stage costs a clip when the generator costs nothing."""
    ((frames, _),) = pictures(made, asked[0])
    made.__dict__["pipeline"] = lambda **said: SimpleNamespace(frames=frames[None])
    found = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            found.append(clock(lambda where=Path(folder): stage(made, asked, where)).of(len(asked)))
    return least(found)


def pictures(made: Diffusers, row: Rollout) -> list[tuple]:
    request = RenderRequest(row.prompt, clip_seed(0, row.query_id))
    return made.pictures(made.pipeline, threading.Event(), [request])


def small() -> list[str]:
    from tests.support import tiny_pipelines

    n, repeats = 10, 12
    with tempfile.TemporaryDirectory() as temporary:
        folder = tiny_pipelines.cogvideox(Path(temporary) / "tiny")
        made = renderer(folder, n_frames=9, height=64, width=64, num_inference_steps=2)
        found = beside(made, prompts(n), repeats)
        added = frames_at_hand(made, prompts(n), repeats)
    rate = ratio(found)
    return [
        f"A CogVideoX of 0.2 million random weights, 9 frames of 64 x 64, 2 steps, batch 1, {n} prompts, each time "
        f"with a new store, shards and a manifest; {repeats} repeats, the ways in turns, the least of each. So small "
        "a generator is the hardest case: what the stage adds to a clip does not shrink with the model.",
        "",
        *table(found),
        "",
        f"The stage's rate is {1 / rate.cpu_s:.3f} of the bare loop's by CPU seconds, {1 / rate.wall_s:.3f} by wall. "
        f"With frames at hand in place of the generator the stage alone costs {added.cpu_s * 1000:.1f} CPU ms a clip, "
        f"which makes {least(found['bare']).cpu_s / (least(found['bare']).cpu_s + added.cpu_s):.3f}.",
    ]


def size() -> list[str]:
    import numpy as np

    from tests.support import tiny_pipelines

    n, repeats = 2, 2
    with tempfile.TemporaryDirectory() as temporary:
        folder = tiny_pipelines.cogvideox(Path(temporary) / "wide", channels=4)
        made = renderer(folder, n_frames=49, height=480, width=720, num_inference_steps=1)
        found = beside(made, prompts(n), repeats)
        ((frames, _),) = pictures(made, prompts(1)[0])
    pixels = np.stack([np.rint(frame * 255).astype(np.uint8) for frame in frames])
    content = encode(pixels, 8)
    costs = {
        "numbers to pixels, and that they are numbers": lambda: (
            np.isfinite(frames).all(),
            np.stack([np.rint(frame * 255).astype(np.uint8) for frame in frames]),
        ),
        "encode": lambda: encode(pixels, 8),
        "decode": lambda: (decode.cache_clear(), decode(content)),
        "hash": lambda: frames_hash(pixels),
    }
    spent = {name: median(clock(work).cpu_s for _ in range(5)) for name, work in costs.items()}
    total, over = sum(spent.values()), ratio(found)
    walls = sorted(spent.wall_s for spent in found["bare"])
    return [
        f"A CogVideoX with few random weights at its real size, 49 frames of 480 x 720, 1 step, batch 1, {n} prompts, "
        f"{repeats} repeats, the ways in turns, the least of each:",
        "",
        *table(found),
        "",
        f"The stage takes {over.wall_s:.3f} of the bare loop's wall time and {over.cpu_s:.3f} of its CPU seconds. "
        f"Wall is rough here: the bare loop's repeats alone lie between {walls[0]:.0f} and {walls[-1]:.0f} s. With "
        f"nothing done side by side it could be {1 + total / least(found['bare']).cpu_s:.3f} at most, by the table "
        "below.",
        "",
        "| of a clip | CPU s |",
        "|---|---|",
        *(f"| {name} | {seconds:.2f} |" for name, seconds in spent.items()),
        f"| all | {total:.2f} |",
        "",
        f"The frames of random weights make an mp4 of {len(content) / 1e6:.1f} MB. CogVideoX-2B takes "
        f"{PUBLISHED_S:.0f} s a clip on an H100 (its authors), of which {total:.2f} CPU s are "
        f"{total / PUBLISHED_S:.1%}; all but the last batch's are spent while the GPU renders the next.",
    ]


PARTS: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "small": ("What the stage adds to a tiny generator", small),
    "size": ("What the stage adds at a real clip's size", size),
}
"""name -> (heading, lines of the section)"""


def page(sections: dict[str, str]) -> str:
    head = [
        "# Rendering: what the stage costs beside the generator",
        "",
        "`python -m bench.rendering [PART ...]` makes this page, a section a part; one thread of a shared machine of "
        f"{os.cpu_count()} cores, no GPU. Quote ratios: seconds are of a busy machine.",
    ]
    return "\n".join([*head, *(f"\n## {heading}\n\n{text.strip()}" for heading, text in sections.items()), ""])


def sections_of(text: str) -> dict[str, str]:
    """Return heading -> text of a page."""
    return {part.partition("\n")[0].strip(): part.partition("\n")[2] for part in text.split("\n## ")[1:]}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
def main(parts):
    """Measure PARTS (all when none is named) and write their sections."""
    # sections that are kept are as old as the page was
    basis = read_record("rendering") if parts else read_basis("rendering")
    for name in parts or PARTS:
        heading, measure = PARTS[name]
        lines = measure()
        old = sections_of(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
        found = old | {heading: "\n".join(lines)}
        order = [heading for heading, _ in PARTS.values() if heading in found]
        order += [heading for heading in found if heading not in order]
        write_page("rendering", page({heading: found[heading] for heading in order}), basis)
        click.echo("\n".join([f"## {heading}", *lines]))


if __name__ == "__main__":
    main()
